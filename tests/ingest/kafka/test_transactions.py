"""Transactions of producers: what was taken back is not read, and nothing stays behind for ever."""

from collections.abc import Iterator
from typing import Any
from urllib.request import urlopen

import pytest
from kafka import KafkaProducer

from tests.ingest.conftest import Run
from tests.ingest.kafka.conftest import Start, Stream, document, totals, until
from tests.ingest.kafka.workers import lag, stop
from tests.ingest.made import follow_lines
from tests.servers.server import free_port


@pytest.fixture
def producer(stream: Stream) -> Iterator[Any]:
    """A producer of transactions; its topics have one partition."""
    stream.create("users", "posts", "follows", partitions=1)
    made = KafkaProducer(bootstrap_servers=stream.address, transactional_id=stream.project)
    made.init_transactions()
    yield made
    made.close()


def send(producer: Any, stream: Stream, first: int, num_follows: int) -> None:
    """Begin a transaction with so many follows."""
    producer.begin_transaction()
    for text in follow_lines(num_follows, first=first):
        producer.send(stream.topic(), text)
    producer.flush()


def test_what_was_taken_back_is_not_read_and_does_not_count_as_behind(
    stream: Stream, producer: Any, run: Run
) -> None:
    send(producer, stream, 0, 5)
    producer.commit_transaction()
    assert totals(run)["events"] == 5
    assert lag(run) == 0
    for first in (5, 10):
        send(producer, stream, first, 5)
        producer.abort_transaction()
    assert lag(run) == 12  # the messages and the markers that nobody has passed yet
    assert totals(run)["events"] == 0
    assert lag(run) == 0
    before = document(run, "status")["graph"]
    assert before["follows"] == 5
    assert totals(run)["events"] == 0
    assert document(run, "status")["graph"] == before  # with nothing to pass nothing is committed


def test_what_is_not_committed_yet_is_read_when_it_is(
    stream: Stream, producer: Any, run: Run
) -> None:
    stream.send(follow_lines(3))
    send(producer, stream, 3, 5)
    stream.send(follow_lines(2, first=8))  # behind the open transaction
    assert totals(run)["events"] == 3
    assert lag(run) == 0
    producer.commit_transaction()
    assert totals(run)["events"] == 7
    assert lag(run) == 0


def test_a_worker_that_follows_catches_up_with_what_was_taken_back(
    stream: Stream, producer: Any, start: Start, run: Run
) -> None:
    port = free_port()
    worker = start(MMGA_METRICS_PORT=str(port))
    send(producer, stream, 0, 5)
    producer.commit_transaction()
    until(lambda: lag(run) == 0)
    send(producer, stream, 5, 5)
    until(lambda: "\nmmga_ingest_lag 5.0\n" in metrics(port))  # they may yet be committed
    producer.abort_transaction()
    until(lambda: lag(run) == 0)
    until(lambda: "\nmmga_ingest_lag 0.0\n" in metrics(port))
    assert document(run, "status")["graph"]["follows"] == 5
    assert stop(worker) == 0


def metrics(port: int) -> str:
    """What a worker answers to a scrape."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text: str = answer.read().decode()
        return text


def test_isolation_cannot_be_switched_off(
    stream: Stream, producer: Any, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(producer, stream, 0, 5)
    producer.abort_transaction()
    monkeypatch.setenv("MMGA_KAFKA_ISOLATION_LEVEL", "read_uncommitted")
    outcome = run("ingest", "--no-statistics")
    assert outcome.status == 1
    assert outcome.err == (
        "error: MMGA_KAFKA_ISOLATION_LEVEL cannot be set: exactly-once rests on it; unset it\n"
    )
