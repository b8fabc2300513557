"""Several workers, and what changes under them: partitions move, topics come, grow and go."""

import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from filelock import FileLock

from tests.ingest.conftest import Run
from tests.ingest.kafka.conftest import (
    SESSION_SECONDS,
    Start,
    Stream,
    digest_of,
    document,
    until,
    write,
)
from tests.ingest.kafka.workers import lag, stop
from tests.ingest.made import follow_lines, line


@pytest.mark.slow
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
    until(lambda: lag(run) == 0)
    one.send_signal(signal.SIGSTOP)
    stream.send(parts[2])
    stopped = time.monotonic()
    until(lambda: lag(run) == 0)  # the second one has all partitions by now
    time.sleep(max(0.0, SESSION_SECONDS + 1 - (time.monotonic() - stopped)))
    stream.send([*parts[0], *parts[2]])
    one.send_signal(signal.SIGCONT)
    two.kill()
    stream.send(parts[3])
    until(lambda: lag(run) == 0)
    assert stop(one) == 0
    assert run("digest").last_line == digest_of(write(tmp_path / "e.jsonl", lines))
    assert document(run, "status")["dead_letters"] == 0


def test_a_slow_graph_does_not_cost_the_worker_its_partitions(
    stream: Stream, start: Start, run: Run, home: Path
) -> None:
    stream.create("follows", partitions=2)
    stream.send(follow_lines(10))
    worker = start(MMGA_KAFKA_MAX_POLL_INTERVAL_MS="2000")
    until(lambda: lag(run) == 0)
    member = members(stream)
    with FileLock(home / "graph.db.lock"):  # as another worker's long commit would
        stream.send(follow_lines(6000, first=10))
        time.sleep(5)
    until(lambda: lag(run) == 0)
    assert members(stream) == member
    assert stop(worker) == 0


def members(stream: Stream) -> list[str]:
    """Who is in the group of ingest."""
    [group] = stream.admin.describe_groups([f"{stream.project}.ingest"]).values()
    return sorted(member["member_id"] for member in group["members"])


def test_topics_and_partitions_that_come_later_are_read_however_long_joining_takes(
    stream: Stream, start: Start, run: Run
) -> None:
    stream.create("follows", partitions=1)
    stream.send(follow_lines(10))
    leader = start()
    until(lambda: lag(run) == 0)
    other = start()
    until(lambda: len(members(stream)) == 2)
    other.send_signal(signal.SIGSTOP)
    stream.admin.create_partitions({stream.topic(): 3})
    stream.create("users", partitions=1)
    until(lambda: 2 in stream.producer.partitions_for(stream.topic()) or refreshed(stream))
    stream.send(follow_lines(5, first=10), partition=2)
    stream.send([line("user.updated")], "users")
    time.sleep(2)  # the leader asks the group to join, and outlasts several of its polls
    other.send_signal(signal.SIGCONT)
    until(lambda: document(run, "status")["graph"]["follows"] == 15)
    until(lambda: lag(run) == 0)
    assert stop(leader) == 0
    assert stop(other) == 0
    assert applied(leader) + applied(other) == 16


def applied(worker: subprocess.Popen[str]) -> int:
    """How many events a worker that has ended says that it has applied."""
    assert worker.stdout is not None
    [number] = re.findall(r"events: ([\d,]+) applied", worker.stdout.read())
    return int(number.replace(",", ""))


def refreshed(stream: Stream) -> bool:
    """Let the producer learn of new partitions; says that it has not yet."""
    stream.producer._metadata.request_update()
    return False


def test_a_topic_that_is_created_again_under_a_worker_ends_it(
    stream: Stream, start: Start, run: Run, tmp_path: Path
) -> None:
    stream.create("users", "posts", "follows", partitions=1)
    stream.send(follow_lines(10))
    worker = start()
    until(lambda: lag(run) == 0)
    stream.admin.delete_topics([stream.topic()])
    time.sleep(0.2)
    stream.create("follows", partitions=1)
    stream.send(follow_lines(50, first=10))
    assert worker.wait(30) == 1
    error = (tmp_path / "worker0.log").read_text()
    assert f"error: topic {stream.topic()} was deleted and created again" in error
    assert document(run, "status")["graph"]["follows"] == 10
