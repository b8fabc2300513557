"""What a worker leaves behind when its training ends."""

from types import SimpleNamespace
from typing import Any

import pytest
import ray.train

from tests.training.small_network import small_config, small_network
from training import worker
from training.config import to_json
from training.graph_source import SnapshotSource
from training.trainer import Trainer
from training.training_data import training_data


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
