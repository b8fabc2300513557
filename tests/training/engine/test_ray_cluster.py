"""Which Ray a run trains on, and what its workers take of it."""

import pickle
import socket

import pytest
from ray.train import ControllerError, WorkerGroupError

from training.engine.ray_cluster import (
    Secret,
    not_free,
    ray_session,
    remedy,
    settled,
    worker_resources,
)
from training.errors import ClusterTooSmall, ClusterUnreachable, NotFinite


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


def test_each_worker_has_a_gpu_where_the_cluster_has_any() -> None:
    assert worker_resources({"CPU": 2.0}, 2) == {"CPU": 1.0}
    assert worker_resources({"CPU": 16.0, "GPU": 2.0}, 2) == {"CPU": 1.0, "GPU": 1.0}
    with pytest.raises(ClusterTooSmall, match="has CPUs: 2, --workers asks for 3; ask for fewer"):
        worker_resources({"CPU": 2.0}, 3)
    with pytest.raises(ClusterTooSmall, match=r"has GPUs: 1, .* or hide its GPUs"):
        worker_resources({"CPU": 16.0, "GPU": 1.0}, 2)


def test_what_others_use_of_the_cluster_is_named() -> None:
    worker = {"CPU": 1.0, "GPU": 1.0}
    assert not not_free({"CPU": 2.0, "GPU": 2.0}, worker, 2)
    assert not_free({"CPU": 2.0, "GPU": 1.0}, worker, 2) == "2 GPUs (1 free)"
    assert not_free({}, worker, 2) == "2 CPUs (0 free) and 2 GPUs (0 free)"


def test_what_is_freed_a_moment_later_is_not_waited_for() -> None:
    answers = iter(["1 CPUs (0 free)", "", "never asked for"])
    assert settled(lambda: next(answers)) == ""


def test_a_resume_is_promised_only_where_it_can_help() -> None:
    died = WorkerGroupError("no space left", {0: OSError("no space left")})
    assert "resumes from its last checkpoint" in remedy(died)
    ended = ControllerError(NotFinite("step 3: total is nan"))
    assert remedy(ended).endswith("begin a new run with --new")


def test_the_address_of_the_graph_does_not_show_where_arguments_are_printed() -> None:
    url = Secret("neo4j://me:secret@host:7687/neo4j")
    assert "secret" not in repr({"graph_url": url})
    again = pickle.loads(pickle.dumps(url))
    assert (str(again), repr(again)) == (str(url), repr(url))
    assert again.startswith("neo4j://me:")
