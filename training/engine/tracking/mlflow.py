"""Curves on an MLflow server: one MLflow run for each seed of a run of ours."""

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from foundation.url import without_secrets
from training.engine.tracking.tracker import Line, curves

MAX_PARAMETERS, MAX_METRICS = 100, 1_000
"""Limit of MLflow for one request."""

FOUND_BY = ("mmga.run", "mmga.seed")
"""Tags that identify a seed of a run."""

ENVIRONMENT = {
    # By default each request to a server that is down is retried for two minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}


class MLflow:
    """Logs to the server at `uri`; the run there has the tags `tags`.

    A resumed run is found by the tags FOUND_BY: the others may change, for example when the home
    is moved. Artifacts are not uploaded: a tag holds their path.
    """

    def __init__(
        self,
        uri: str,
        experiment: str,
        *,
        run_name: str,
        tags: Mapping[str, str],
        parameters: Mapping[str, Any],
    ) -> None:
        self.uri, self.experiment, self.run_name = uri, experiment, run_name
        self.tags, self.parameters = dict(tags), dict(parameters)
        self._client: Any = None
        self._run_id = ""
        self._is_new = True
        self._last: dict[str, int] = {}

    @property
    def name(self) -> str:
        """The server, without user and password."""
        return f"MLflow at {without_secrets(self.uri)}"

    def open(self) -> None:
        """Find the run of an interrupted attempt, or create one."""
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient

        self._client = MlflowClient(tracking_uri=self.uri)
        experiment = self._client.get_experiment_by_name(self.experiment)
        number = (
            experiment.experiment_id
            if experiment
            else self._client.create_experiment(self.experiment)
        )
        wanted = " and ".join(f"tags.`{name}` = '{self.tags[name]}'" for name in FOUND_BY)
        found = self._client.search_runs([number], wanted, max_results=1)
        if found:
            self._run_id, self._is_new = found[0].info.run_id, False
            self._client.update_run(self._run_id, status="RUNNING")
            return
        run = self._client.create_run(number, tags=self.tags, run_name=self.run_name)
        self._run_id = run.info.run_id
        self._log_parameters()

    def write(self, lines: Sequence[Line]) -> None:
        """Log the points that are new."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [
            Metric(name, value, now, line["step"])
            for line in lines
            for name, value in curves(line).items()
            if line["step"] > self._last_step(name)
        ]
        for start in range(0, len(metrics), MAX_METRICS):
            self._client.log_batch(self._run_id, metrics=metrics[start : start + MAX_METRICS])
        for metric in metrics:
            self._last[metric.key] = metric.step

    def close(self, *, completed: bool) -> None:
        """Record whether training finished."""
        self._client.set_terminated(self._run_id, "FINISHED" if completed else "FAILED")

    def _last_step(self, name: str) -> int:
        if name not in self._last:
            points = [] if self._is_new else self._client.get_metric_history(self._run_id, name)
            self._last[name] = max((point.step for point in points), default=-1)
        return self._last[name]

    def _log_parameters(self) -> None:
        from mlflow.entities import Param

        parameters = [Param(name, str(value)) for name, value in self.parameters.items()]
        for start in range(0, len(parameters), MAX_PARAMETERS):
            self._client.log_batch(self._run_id, params=parameters[start : start + MAX_PARAMETERS])


def flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values by dotted names."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= flattened(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
