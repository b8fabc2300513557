"""Dead letters of Kafka: why, from where and what, kept before the batch is committed."""

import hashlib
from contextlib import closing
from pathlib import Path

from ingest.dead_letters.dead_letter import Payload, rejected
from ingest.dead_letters.file import DeadLetterFile
from ingest.kafka.connection import KafkaConnection
from ingest.kafka.dead_letters import KafkaDeadLetters
from tests.ingest.conftest import Run
from tests.ingest.kafka.conftest import Stream, document, totals, write
from tests.ingest.made import NOW, follow_lines, line

DAY_SECONDS = 86_400


def test_what_is_no_event_is_kept_with_its_bytes_and_can_be_listed(
    stream: Stream, run: Run
) -> None:
    stream.create("users", "posts", "follows", partitions=1, **{"max.message.bytes": "4000000"})
    giant = b'{"pad": "' + b"x" * 1_200_000 + b'"}'
    stream.send([None, giant, b"\xff", b"", *follow_lines(3)], keys=[b"k"] * 7)
    assert totals(run)["dead_letters"] == 4
    assert totals(run, "--from", "earliest")["dead_letters"] == 4
    listed = document(run, "dead-letters", "list")
    assert [each["offset"] for each in listed] == [0, 1, 2, 3]
    assert all(each["source"].endswith(f"/{stream.topic()}") for each in listed)
    assert listed[0]["reason"] == "the message has no value"
    assert "longer than" in listed[1]["reason"]
    assert (listed[1]["length"], len(listed[1]["text"])) == (len(giant), 256 * 1024)
    assert listed[1]["sha256"] == hashlib.sha256(giant).hexdigest()
    assert (listed[2]["base64"], listed[2]["key"]) == ("/w==", "k")
    status = document(run, "status")
    assert (status["dead_letters"], status["graph"]["follows"]) == (4, 3)
    assert run("dead-letters", "list").last_line == "4 dead letters"


def test_the_topics_of_dead_letters_are_made_with_their_retention(stream: Stream, run: Run) -> None:
    stream.create("follows", partitions=1)
    stream.send([b"broken"])
    totals(run)
    names = set(stream.admin.list_topics())
    assert {f"{stream.topic(kind)}.dlq" for kind in ("users", "posts", "follows")} <= names
    from kafka.admin import ConfigResource, ConfigResourceType

    topic = ConfigResource(ConfigResourceType.TOPIC, f"{stream.topic()}.dlq")
    described = stream.admin.describe_configs([topic], config_filter="all")
    assert f"{90 * DAY_SECONDS * 1000}" in str(described)


def test_replay_sends_what_is_no_longer_rejected_to_its_topic_with_its_key(
    stream: Stream, run: Run
) -> None:
    stream.create("users", "posts", "follows", partitions=1)
    early = line(id="early", time="2026-01-01T00:00:00", data={"follower_id": "x"})
    giant = b"x" * 300_000
    stream.send([b"broken", early, giant, *follow_lines(1)], keys=[None, b"x", None, b"u0"])
    assert totals(run)["dead_letters"] == 3
    assert run("dead-letters", "replay").last_line == (
        "0 events sent again, 2 still rejected, 1 cannot be sent because they were cut"
    )
    stale_rule_rejected(stream, run)


def stale_rule_rejected(stream: Stream, run: Run) -> None:
    """An event that was rejected by a rule that has passed: its time lay ahead of the clock."""
    letters = open_letters(stream)
    valid = line(id="late", data={"follower_id": "late"})
    source = f"kafka://cluster/{stream.topic()}"
    letters.append([rejected("it was ahead", source, 0, 99, Payload.of(valid), key=b"late")])
    assert letters.count() == 4
    letters.close()
    replayed = document(run, "dead-letters", "replay")
    assert replayed == {"num_replayed": 1, "num_still_rejected": 2, "num_cut": 1}
    assert document(run, "status")["dead_letters"] == 3
    assert totals(run)["applied"] == 1
    assert document(run, "dead-letters", "replay")["num_replayed"] == 0


def open_letters(stream: Stream) -> KafkaDeadLetters:
    return KafkaDeadLetters(KafkaConnection.of(stream.server.url, {}), stream.project, days=1)


def test_letters_of_a_file_are_replayed_into_the_graph(
    home: Path, tmp_path: Path, run: Run
) -> None:
    events = write(tmp_path / "e.jsonl", [b"broken", *follow_lines(2)])
    run("ingest", "--events", events, "--no-statistics")
    letters = DeadLetterFile(home / "dead_letters.jsonl")
    valid = line(id="late", data={"follower_id": "late"})
    letters.append([rejected("it was ahead", str(events), 0, NOW, Payload.of(valid))])
    assert letters.count() == 2
    assert run("dead-letters", "replay").last_line == (
        "1 events sent again, 1 still rejected, 0 cannot be sent because they were cut"
    )
    assert [letter.payload.content for letter in letters.read()] == [b"broken"]
    assert document(run, "status")["graph"]["follows"] == 3


def test_letters_of_messages_that_are_read_again_are_settled(stream: Stream, run: Run) -> None:
    """As if a newer version accepted what an older one has rejected."""
    stream.create("users", "posts", "follows", partitions=1)
    stream.send([b"broken", *follow_lines(2)], keys=[b"k"] * 3)
    totals(run)
    [broken] = document(run, "dead-letters", "list")
    with closing(open_letters(stream)) as letters:
        letters.append(
            [
                rejected("an old rule", broken["source"], 0, offset, Payload.of(b"old"))
                for offset in (1, 2)
            ]
        )
    assert document(run, "status")["dead_letters"] == 3
    assert totals(run)["events"] == 0
    assert document(run, "status")["dead_letters"] == 3
    assert totals(run, "--from", "earliest", "--batch-size", "2")["dead_letters"] == 1
    assert [each["offset"] for each in document(run, "dead-letters", "list")] == [0]


def test_dropping_them(stream: Stream, run: Run) -> None:
    stream.create("users", "posts", "follows", partitions=1)
    stream.send([b"broken", b"[]", *follow_lines(1)], keys=[b"k"] * 3)
    totals(run)
    first, second = document(run, "dead-letters", "list")
    name = f"{first['source']}:{first['partition']}:{first['offset']}"
    assert document(run, "dead-letters", "drop", name) == {"num_dropped": 1, "num_kept": 1}
    assert document(run, "dead-letters", "list") == [second]
    assert document(run, "dead-letters", "drop", "--source", stream.topic())["num_dropped"] == 1
    assert document(run, "status")["dead_letters"] == 0
    assert totals(run, "--from", "earliest")["dead_letters"] == 2
    assert document(run, "status")["dead_letters"] == 2
