"""Curves are drawn whole and once, whoever was killed; a server that is down costs one line."""

import math
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.training.event_files import drawn
from training.engine.step_log import append_losses
from training.engine.tracking.mlflow import MLflow, flattened
from training.engine.tracking.tensorboard import TensorBoard
from training.engine.tracking.tracker import Line, curves, tracked


def line(step: int) -> dict[str, Any]:
    return {
        "step": step,
        "phase": "encoders",
        "alignment": 2.0 + step,
        "total": 3.0 + step,
        "gradient_norms": {"total": 1.0, "alignment": math.nan},
        "learning_rates": {"encoders": 0.5},
        "seconds": 2.0,
        "waited_seconds": 0.5,
        "staleness": 7.0,
        "held_out": {"alignment": 4.0},
    }


def lines(first: int, last: int) -> list[dict[str, Any]]:
    return [line(step) for step in range(first, last)]


def test_every_figure_of_a_step_is_a_point_and_what_is_no_number_is_none() -> None:
    assert curves(line(1)) == {
        "losses/alignment": 3.0,
        "losses/total": 4.0,
        "gradient_norms/total": 1.0,
        "learning_rates/encoders": 0.5,
        "held_out/alignment": 4.0,
        "seconds": 2.0,
        "waiting_share": 0.25,
        "staleness": 7.0,
    }


def draw(folder: Path, last: int) -> None:
    board = TensorBoard(folder)
    board.open()
    board.write(lines(0, last))
    board.close(completed=False)


@pytest.mark.parametrize("end", ["whole", "cut", "zeros"])
def test_tensorboard_draws_each_step_once_whatever_an_earlier_attempt_left(
    tmp_path: Path, end: str
) -> None:
    draw(tmp_path, 4)
    (path,) = tmp_path.iterdir()
    left = path.read_bytes()
    # A loss of power may leave zeros, as many as the file was to have.
    path.write_bytes({"whole": left, "cut": left[:-5], "zeros": left[:-40] + bytes(45)}[end])
    draw(tmp_path, 7)
    points = drawn(tmp_path)
    assert points["losses/alignment"] == [(step, 2.0 + step) for step in range(7)]
    assert {name: len(each) for name, each in points.items()} == dict.fromkeys(curves(line(0)), 7)


class Broken:
    """A tracker whose server goes away after a while."""

    name = "the server"

    def __init__(self) -> None:
        self.steps: list[int] = []

    def open(self) -> None:
        pass

    def write(self, lines: Sequence[Line]) -> None:
        raise ConnectionError("http://user:password@host refused")

    def close(self, *, completed: bool) -> None:
        raise AssertionError("it was dropped")


def test_what_fails_is_dropped_with_one_line_and_the_others_go_on(tmp_path: Path) -> None:
    warnings: list[str] = []
    log = tmp_path / "losses.jsonl"
    with tracked(log, [Broken(), TensorBoard(tmp_path / "board")], warnings.append):
        append_losses(log, lines(0, 5))
    assert warnings == [
        "the server gets no more curves of this run (ConnectionError: http://host refused)"
    ]
    assert [step for step, _ in drawn(tmp_path / "board")["losses/total"]] == [0, 1, 2, 3, 4]


def mlflow(uri: str, model: str = "model") -> MLflow:
    return MLflow(
        uri,
        "mmga",
        run_name="r1/seed-0",
        tags={"mmga.run": "r1", "mmga.seed": "0", "mmga.model": model},
        parameters=flattened({"text": {"width": 16}, "recipe": "small"}),
    )


@pytest.mark.slow
def test_a_server_that_is_down_is_one_line_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    for name, value in (("MAX_RETRIES", "0"), ("BACKOFF_FACTOR", "0"), ("TIMEOUT", "2")):
        monkeypatch.setenv(f"MLFLOW_HTTP_REQUEST_{name}", value)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    warnings: list[str] = []
    log = tmp_path / "losses.jsonl"
    append_losses(log, lines(0, 2))
    with tracked(log, [mlflow(f"http://me:secret@127.0.0.1:{port}")], warnings.append):
        pass
    assert len(warnings) == 1
    assert "secret" not in warnings[0]
    assert f"MLflow at http://127.0.0.1:{port} gets no more curves" in warnings[0]


@pytest.mark.slow
def test_mlflow_has_parameters_and_each_step_once_over_attempts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    from mlflow import MlflowClient

    uri = (tmp_path / "mlruns").as_uri()
    for first, last in ((0, 3), (2, 6)):
        tracker = mlflow(uri, model=f"/moved/{first}/model.safetensors")
        tracker.open()
        tracker.write(lines(first, last))
        tracker.close(completed=last == 6)
    client = MlflowClient(tracking_uri=uri)
    (experiment,) = [each for each in client.search_experiments() if each.name == "mmga"]
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params == {"text.width": "16", "recipe": "small"}
    points = client.get_metric_history(run.info.run_id, "losses/total")
    assert [(point.step, point.value) for point in points] == [(n, 3.0 + n) for n in range(6)]
