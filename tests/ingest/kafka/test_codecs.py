"""Compressed topics: each codec of Kafka is read, and one that is not installed is named."""

import kafka.codec
import pytest
from kafka import KafkaProducer

from tests.ingest.conftest import Run
from tests.ingest.kafka.conftest import Stream, document, totals, write
from tests.ingest.made import follow_lines

CODECS = ("gzip", "snappy", "lz4", "zstd")


@pytest.mark.parametrize("codec", CODECS)
def test_what_the_broker_or_the_producer_compressed_is_read(
    codec: str, stream: Stream, run: Run
) -> None:
    stream.create("follows", partitions=1, **{"compression.type": codec})
    stream.create("posts", partitions=1)
    stream.send(follow_lines(200))  # the broker compresses them, with its own libraries
    producer = KafkaProducer(bootstrap_servers=stream.address, compression_type=codec, linger_ms=50)
    for text in follow_lines(200, first=200):
        producer.send(stream.topic("posts"), text)
    producer.close()
    assert totals(run)["events"] == 400
    assert document(run, "status")["graph"]["follows"] == 400


def test_publish_compresses_where_it_is_told_to(
    stream: Stream, run: Run, tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("MMGA_KAFKA_COMPRESSION_TYPE", "lz4")
    events = write(tmp_path_factory.mktemp("events") / "e.jsonl", follow_lines(10))
    assert run("publish", events, "--create-topics", "--partitions", "1").status == 0
    assert totals(run)["events"] == 10


def test_a_codec_that_is_not_installed_is_one_line_with_its_remedy(
    stream: Stream, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream.create("users", "posts", "follows", partitions=1, **{"compression.type": "zstd"})
    stream.send(follow_lines(5))
    with monkeypatch.context() as without:
        without.setattr(kafka.codec, "zstd", None)
        outcome = run("ingest", "--no-statistics")
    assert outcome.status == 1
    assert outcome.err.startswith("error: messages of Kafka at ")
    assert "Libraries for zstd compression codec not found" in outcome.err
    assert '`pip install ".[ingest]"`' in outcome.err
    assert outcome.err.count("\n") == 1
    assert totals(run)["events"] == 5
