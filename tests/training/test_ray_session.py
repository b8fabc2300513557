"""Which Ray a run trains on."""

import socket

import pytest

from training.errors import ClusterUnreachable
from training.ray_train import ray_session


def test_a_cluster_that_is_not_there_is_one_line_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
    with (
        pytest.raises(ClusterUnreachable, match=r"RAY_ADDRESS=127\.0\.0\.1:\d+ .*refused.*unset"),
        ray_session(1),
    ):
        pass
