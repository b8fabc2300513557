"""Workers in processes of their own: partitions move, workers die or sleep, brokers go and come."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.ingest.conftest import REPOSITORY, Run
from tests.ingest.kafka.conftest import Stream, digest_of, document, until, write
from tests.ingest.made import follow_lines, line
from tests.servers import start_kafka

SESSION_SECONDS = 6
"""The shortest that a broker allows without being told otherwise."""

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts workers that follow; kills those that are left."""
    started: list[subprocess.Popen[str]] = []

    def start_worker(**environ: str) -> subprocess.Popen[str]:
        log = (tmp_path / f"worker{len(started)}.log").open("w")
        worker = subprocess.Popen(
            [sys.executable, "-m", "mmga", "ingest", "--follow", "--no-statistics",
             "--batch-size", "500"],
            cwd=REPOSITORY,
            env={
                **os.environ,
                "MMGA_KAFKA_SESSION_TIMEOUT_MS": str(SESSION_SECONDS * 1000),
                "MMGA_KAFKA_HEARTBEAT_INTERVAL_MS": "500",
                "MMGA_KAFKA_METADATA_MAX_AGE_MS": "1000",
                **environ,
            },
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )  # fmt: skip
        started.append(worker)
        return worker

    yield start_worker
    for worker in started:
        with suppress(ProcessLookupError):
            worker.send_signal(signal.SIGCONT)
        worker.kill()
        worker.wait()
    for log in tmp_path.glob("worker*.log"):
        print(log.name, log.read_text())  # pytest shows it where a test fails


def lag(stream: Stream, run: Run) -> int:
    """Messages that the graph does not hold."""
    found: int = document(run, "status")["stages"]["ingest"]["lag_messages"]
    return found


def test_partitions_move_between_workers_that_come_die_and_sleep(
    stream: Stream, start: Start, tmp_path: Path, run: Run
) -> None:
    stream.create("users", "posts", "follows", partitions=12)
    lines = [
        line(id=f"e{number}", data={"follower_id": f"u{number % 97}", "followee_id": f"v{number}"})
        for number in range(12_000)
    ]
    parts = [lines[first : first + 3000] for first in range(0, 12_000, 3000)]
    one = start()
    stream.send(parts[0])
    two = start()
    stream.send(parts[1])
    until(lambda: (tmp_path / "home" / "graph.db").exists() and lag(stream, run) == 0)
    one.send_signal(signal.SIGSTOP)
    stream.send(parts[2])
    stopped = time.monotonic()
    until(lambda: lag(stream, run) == 0)  # the second one has all partitions by now
    time.sleep(max(0.0, SESSION_SECONDS + 1 - (time.monotonic() - stopped)))
    stream.send([*parts[0], *parts[2]])
    one.send_signal(signal.SIGCONT)
    two.kill()
    stream.send(parts[3])
    until(lambda: lag(stream, run) == 0)
    one.send_signal(signal.SIGTERM)
    assert one.wait(20) == 0
    assert run("digest").last_line == digest_of(write(tmp_path / "e.jsonl", lines))
    assert document(run, "status")["dead_letters"] == 0


def test_topics_and_partitions_that_come_later_are_read(
    stream: Stream, start: Start, run: Run, tmp_path: Path
) -> None:
    stream.create("follows", partitions=1)
    stream.send(follow_lines(10))
    worker = start()
    until(lambda: (tmp_path / "home" / "graph.db").exists() and lag(stream, run) == 0)
    stream.admin.create_partitions({stream.topic(): 3})
    stream.create("users", partitions=1)
    until(lambda: 2 in stream.producer.partitions_for(stream.topic()) or refreshed(stream))
    stream.send(follow_lines(5, first=10), partition=2)
    stream.send([line("user.updated")], "users")
    until(lambda: document(run, "status")["graph"]["follows"] == 15)
    until(lambda: lag(stream, run) == 0)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0
    assert worker.stdout is not None
    assert worker.stdout.read().startswith("16 events: 16 applied")


def refreshed(stream: Stream) -> bool:
    """Let the producer learn of new partitions; says that it has not yet."""
    stream.producer._metadata.request_update()
    return False


def test_a_topic_that_is_made_anew_under_a_worker_ends_it(
    stream: Stream, start: Start, run: Run, tmp_path: Path
) -> None:
    stream.create("users", "posts", "follows", partitions=1)
    stream.send(follow_lines(10))
    worker = start()
    until(lambda: (tmp_path / "home" / "graph.db").exists() and lag(stream, run) == 0)
    stream.admin.delete_topics([stream.topic()])
    time.sleep(0.2)
    stream.create("follows", partitions=1)
    stream.send(follow_lines(50, first=10))
    assert worker.wait(30) == 1
    error = (tmp_path / "worker0.log").read_text()
    assert f"error: topic {stream.topic()} was deleted and made anew" in error
    assert document(run, "status")["graph"]["follows"] == 10


@pytest.mark.slow
def test_a_broker_that_goes_and_comes_back_is_waited_for(
    start: Start, home: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = start_kafka(tmp_path / "kafka")
    try:
        monkeypatch.setenv("MMGA_EVENTS_URL", broker.url)
        first = write(tmp_path / "first.jsonl", follow_lines(20))
        rest = write(
            tmp_path / "rest.jsonl", [b'{"type": "follow.x"}', *follow_lines(30, first=20)]
        )
        assert run("publish", first, "--create-topics", "--partitions", "2").status == 0
        worker = start()
        until(lambda: home.joinpath("graph.db").exists() and ingested(run, 20))
        broker.kill()
        log = tmp_path / "worker0.log"
        until(lambda: "does not answer" in log.read_text())
        broker.start()
        assert run("publish", rest).status == 0
        until(lambda: ingested(run, 50))
        until(lambda: document(run, "status")["dead_letters"] == 1)
        assert worker.poll() is None
        assert "going on after" in log.read_text()
        assert log.read_text().count("\n") <= 4
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(20) == 0
    finally:
        broker.kill()


def ingested(run: Run, num_follows: int) -> bool:
    found: int = document(run, "status")["graph"]["follows"]
    return found == num_follows
