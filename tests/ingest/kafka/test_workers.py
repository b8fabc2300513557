"""Several workers, and what changes under them: partitions move, topics come, grow and go."""

import signal
import time
from pathlib import Path

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


def test_topics_and_partitions_that_come_later_are_read(
    stream: Stream, start: Start, run: Run, tmp_path: Path
) -> None:
    stream.create("follows", partitions=1)
    stream.send(follow_lines(10))
    worker = start()
    until(lambda: lag(run) == 0)
    stream.admin.create_partitions({stream.topic(): 3})
    stream.create("users", partitions=1)
    until(lambda: 2 in stream.producer.partitions_for(stream.topic()) or refreshed(stream))
    stream.send(follow_lines(5, first=10), partition=2)
    stream.send([line("user.updated")], "users")
    until(lambda: document(run, "status")["graph"]["follows"] == 15)
    until(lambda: lag(run) == 0)
    assert stop(worker) == 0
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
    until(lambda: lag(run) == 0)
    stream.admin.delete_topics([stream.topic()])
    time.sleep(0.2)
    stream.create("follows", partitions=1)
    stream.send(follow_lines(50, first=10))
    assert worker.wait(30) == 1
    error = (tmp_path / "worker0.log").read_text()
    assert f"error: topic {stream.topic()} was deleted and made anew" in error
    assert document(run, "status")["graph"]["follows"] == 10
