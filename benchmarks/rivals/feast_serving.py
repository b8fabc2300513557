"""Feast's own reading paths, as its documentation says to use them.

In process: `FeatureStore.get_online_features` with a service object that is held (fetching it
costs 0.7 ms more a call), then `to_dict`. Over HTTP: `feast serve` with one worker, without access
log, never recycled (by default it restarts its only worker every 1,000 requests).
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FeastConfig = dict[str, Any]


class FeastReader:
    """Reads features of a service in process."""

    def __init__(self, config: FeastConfig, features: Sequence[str]) -> None:
        from feast import FeatureService, FeatureStore, RepoConfig

        self.store = FeatureStore(config=RepoConfig(**config))
        views: dict[str, list[str]] = {}
        for reference in features:
            view, _, name = reference.partition(":")
            views.setdefault(view, []).append(name)
        selected = [self.store.get_feature_view(view)[names] for view, names in views.items()]
        self.store.apply([FeatureService(name="benchmark", features=selected)])
        self.service = self.store.get_feature_service("benchmark")

    def read(self, user_ids: Sequence[str]) -> dict[str, list[Any]]:
        """Columns by name."""
        rows = [{"user_id": user_id} for user_id in user_ids]
        answer = self.store.get_online_features(features=self.service, entity_rows=rows)
        columns: dict[str, list[Any]] = answer.to_dict()
        return columns


@contextmanager
def feast_server(config: FeastConfig, folder: Path, port: int) -> Iterator[str]:
    """`feast serve` on a port of this machine; the address may not answer yet."""
    folder.mkdir(parents=True, exist_ok=True)
    # JSON is YAML
    (folder / "feature_store.yaml").write_text(json.dumps(config), encoding="utf-8")
    feast = str(Path(sys.executable).with_name("feast"))
    command = [feast, "-c", str(folder), "serve", "--port", str(port)]
    options = ["--no-access-log", "--workers", "1", "--max-requests", "0"]
    process = subprocess.Popen(
        [*command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=30)
