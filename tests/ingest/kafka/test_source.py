"""Reading topics: all events once, wherever reading starts, and what is lost is told."""

import random
import time
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from kafka import TopicPartition
from kafka.errors import KafkaTimeoutError

from graphdb.facts import Batch
from ingest.errors import BrokerUnreachable, PartitionsMoved, SourceChanged
from ingest.kafka.source import KafkaSource, open_kafka_source
from ingest.sources.source import Records, SourceSettings
from ingest.synthetic import write_synthetic_network
from tests.graphdb.oracle import GraphOracle
from tests.ingest.conftest import Run
from tests.ingest.kafka.conftest import Stream, digest_of, document, totals, write
from tests.ingest.made import follow_lines


def test_the_graph_is_that_of_the_same_events_in_a_file(
    stream: Stream, tmp_path: Path, run: Run
) -> None:
    made = write_synthetic_network(tmp_path / "network", num_users=40, posts_per_user=2.0, seed=5)
    lines = made.events.read_bytes().splitlines()
    random.Random(1).shuffle(lines)
    events = write(tmp_path / "e.jsonl", [*lines, *lines[:100]])
    half = write(tmp_path / "half.jsonl", lines[: len(lines) // 2])
    published = run(
        "publish", half, "--create-topics", "--partitions", "5", "--unreadable-to", "posts"
    )
    assert published.status == 0, published.err
    first = totals(run, "--batch-size", "100")
    assert first["events"] == len(lines) // 2
    assert totals(run)["events"] == 0
    run("publish", events, "--unreadable-to", "posts")
    assert document(run, "status")["stages"]["ingest"]["lag_messages"] == (len(lines) + 100)
    second = totals(run, "--batch-size", "300")
    assert second["events"] == len(lines) + 100
    assert run("digest").last_line == digest_of(events)
    assert document(run, "status")["stages"]["ingest"] == {
        "watermark": document(run, "status")["graph"]["version"],
        "lag_messages": 0,
        "topics": {stream.topic(kind): 0 for kind in ("follows", "posts", "users")},
        "note": None,
    }


def test_a_position_from_a_log_that_went_is_an_error_and_from_earliest_goes_on(
    stream: Stream, run: Run
) -> None:
    stream.create("users", "posts", "follows", partitions=1)
    stream.send(follow_lines(10))
    assert totals(run)["events"] == 10
    stream.send(follow_lines(10, first=10))
    stream.admin.delete_records({TopicPartition(stream.topic(), 0): 15})
    outcome = run("ingest", "--no-statistics")
    assert outcome.status == 1
    assert outcome.err.startswith(f"error: partition 0 of topic {stream.topic()}:")
    assert "messages 10 to 14 went unread" in outcome.err
    assert "`mmga ingest --from earliest`" in outcome.err
    assert outcome.err.count("\n") == 1
    assert totals(run, "--from", "earliest")["events"] == 5
    assert totals(run)["events"] == 0


def test_retention_that_passes_a_source_that_is_reading_is_an_error(stream: Stream) -> None:
    stream.create("follows", partitions=1)
    stream.send(follow_lines(10))
    source = open_kafka_source(
        stream.server.url, SourceSettings(project=stream.project, wait=True, kafka={})
    )
    source.seek([])
    read(source, 10)
    source.keep_alive()  # nothing is fetched from here on
    time.sleep(1)
    stream.send(follow_lines(10, first=10))
    stream.admin.delete_records({TopicPartition(stream.topic(), 0): 15})
    with pytest.raises(SourceChanged, match="messages 10 to 14 went unread"):
        read(source, 10)
    source.close()


def test_no_message_is_passed_over_where_polling_fails_between_two_of_them(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream.create("follows", partitions=3)
    lines = follow_lines(300)
    stream.send(lines)
    source = open_kafka_source(
        stream.server.url, SourceSettings(project=stream.project, kafka={}, poll_seconds=5)
    )
    poll, polls = source._consumer.poll, count()

    def fail_now_and_then(**arguments: Any) -> Any:
        if next(polls) % 3 == 1:
            raise KafkaTimeoutError("away")
        return poll(timeout_ms=arguments["timeout_ms"], max_records=7)

    monkeypatch.setattr(source._consumer, "poll", fail_now_and_then)
    graph = GraphOracle()
    source.seek([])
    runs: list[Records] = []
    while (found := again(source)) is not None:
        runs += found
    source.close()
    assert sorted(text for run in runs for text in run.lines) == sorted(lines)
    for run in runs:
        graph.apply(Batch(moves=[run.move]))  # raises where a move does not continue the last one


def again(source: KafkaSource) -> list[Records] | None:
    """Read, as whoever reads ahead does after errors that pass."""
    while True:
        try:
            return source.read(50)
        except PartitionsMoved:
            source.seek([])
        except BrokerUnreachable:
            pass


def read(source: KafkaSource, num_events: int) -> None:
    """Read so many events."""
    while num_events > 0:
        try:
            num_events -= sum(map(len, source.read(100) or []))
        except PartitionsMoved:
            source.seek([])


def test_a_topic_that_was_created_again_is_an_error_and_from_earliest_goes_on(
    stream: Stream, run: Run
) -> None:
    stream.create("users", "posts", "follows", partitions=2)
    stream.send(follow_lines(10))
    assert totals(run)["events"] == 10
    stream.admin.delete_topics([stream.topic()])
    time.sleep(0.5)
    stream.create("follows", partitions=2)
    stream.send(follow_lines(30, first=10))
    outcome = run("ingest", "--no-statistics")
    assert outcome.status == 1
    assert f"topic {stream.topic()} was deleted and created again" in outcome.err
    assert "`mmga ingest --from earliest`" in outcome.err
    assert totals(run, "--from", "earliest")["events"] == 30
    assert document(run, "status")["graph"]["follows"] == 40


def test_from_a_time_reads_what_was_written_at_it_or_later(stream: Stream, run: Run) -> None:
    stream.create("users", "posts", "follows", partitions=2)
    stream.send(follow_lines(6))
    time.sleep(0.05)
    between = datetime.now(UTC).isoformat()
    time.sleep(0.05)
    stream.send(follow_lines(5, first=6))
    assert totals(run)["events"] == 11
    assert totals(run, "--from", between)["events"] == 5
    assert totals(run, "--from", "earliest")["events"] == 11
    assert totals(run, "--from", "2026-12-31")["events"] == 0
    assert document(run, "status")["graph"]["follows"] == 11


def test_without_topics_there_is_nothing_to_read(stream: Stream, run: Run) -> None:
    outcome = run("ingest", "--no-statistics")
    assert outcome.status == 1
    assert "--create-topics" in outcome.err
    assert outcome.err.count("\n") == 1
    stream.create("follows")
    stream.send(follow_lines(3))
    outcome = run("ingest", "--no-statistics")
    assert outcome.status == 0
    assert f"warning: there is no topic {stream.topic('users')}" in outcome.err
    assert outcome.last_line.startswith("3 events")


def test_a_broker_that_is_not_there_is_one_line_within_seconds(
    home: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMGA_KAFKA_BOOTSTRAP_TIMEOUT_MS", "1000")
    started = time.monotonic()
    outcome = run("ingest", "--events", "kafka://127.0.0.1:1")
    assert time.monotonic() - started < 5
    assert outcome.status == 1
    assert outcome.err.startswith("error: Kafka at 127.0.0.1:1 does not answer")
    assert outcome.err.count("\n") == 1
