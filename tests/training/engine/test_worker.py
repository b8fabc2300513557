"""What a worker leaves behind when its training ends."""

from types import SimpleNamespace
from typing import Any

import pytest
import ray.train

from tests.training.small_network import small_config, small_network
from training.engine import worker
from training.errors import NotFinite
from training.mmga.trainer import Trainer
from training.mmga.training_data import training_data
from training.options.document import to_json
from training.sampling.snapshot_source import SnapshotSource


class WatchedSource(SnapshotSource):
    """Remembers that it was closed."""

    is_closed = False

    def close(self) -> None:
        self.is_closed = True


def test_a_worker_that_fails_closes_the_source_of_its_batches(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    snapshot, inputs = small_network()
    source = WatchedSource(snapshot, "mutual")
    data = training_data(snapshot, inputs, "mutual", source)
    rank = SimpleNamespace(get_world_rank=lambda: 0, get_world_size=lambda: 1)
    monkeypatch.setattr(ray.train, "get_context", lambda: rank)
    monkeypatch.setattr(
        worker, "open_trainer", lambda *_: Trainer(small_config(edges="mutual"), data, seed=0)
    )

    def fail(*_: Any) -> None:
        assert not source.is_closed
        raise OSError("no space left on device")

    monkeypatch.setattr(worker, "resume", fail)
    arguments = {
        "config": to_json(small_config()),
        "folder": str(tmp_path),
        "attempt": "1",
        "num_threads": 1,
    }
    with pytest.raises(OSError, match="no space"):
        worker.train_seed(arguments)
    assert source.is_closed


class WorkerThatOpens:
    """Stands where Ray calls `train_seed`; opening the trainer raises this error."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Any, error: Exception) -> None:
        rank = SimpleNamespace(get_world_rank=lambda: 0, get_world_size=lambda: 1)
        monkeypatch.setattr(ray.train, "get_context", lambda: rank)
        monkeypatch.setattr(worker, "open_trainer", self.open_trainer)
        self.folder, self.error, self.num_opened = str(folder), error, 0

    def open_trainer(self, *_: Any) -> Trainer:
        self.num_opened += 1
        raise self.error

    def run(self, attempt: str) -> None:
        worker.train_seed({"folder": self.folder, "attempt": attempt, "num_threads": 1})


def test_what_comes_again_is_not_tried_again_in_the_same_attempt(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    workers = WorkerThatOpens(monkeypatch, tmp_path, NotFinite("loss total of step 3 is nan"))
    for _ in range(3):
        with pytest.raises(NotFinite, match="loss total of step 3 is nan"):
            workers.run("1")
    assert workers.num_opened == 1
    with pytest.raises(NotFinite):
        workers.run("2")
    assert workers.num_opened == 2


def test_what_may_pass_is_tried_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    workers = WorkerThatOpens(monkeypatch, tmp_path, OSError("no space left on device"))
    for _ in range(2):
        with pytest.raises(OSError, match="no space"):
            workers.run("1")
    assert workers.num_opened == 2
