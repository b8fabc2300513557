"""Publishing: which topic, which key, what is refused, and that it may be done again."""

from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, TopicPartition

from ingest.kafka.publisher import line_numbers, names_path, parsed, route
from tests.ingest.conftest import Run
from tests.ingest.kafka.conftest import Stream, write
from tests.ingest.made import follow_lines, line


@pytest.mark.parametrize(
    ("event", "kind", "key"),
    [
        (line("user.updated"), "users", b"ann"),
        (line("user.deleted"), "users", b"ann"),
        (line("user.labeled"), "users", b"ann"),
        (line("post.created"), "posts", b"ann"),
        (line("post.engagement"), "posts", b"p1"),
        (line("post.engagement", subject="ann"), "posts", b"ann"),
        (line("post.deleted"), "posts", b"p1"),
        (line("post.labeled"), "posts", b"p1"),
        (line("follow.created"), "follows", b"ann"),
        (line("follow.deleted", subject="s"), "follows", b"s"),
        (line("user.created", data={"user_id": "x"}), "users", b"x"),
        (b'{"type": "follow.created", "data": 3, "subject": 7}', "follows", None),
    ],
)
def test_the_type_names_the_topic_and_the_subject_or_the_user_is_the_key(
    event: bytes, kind: str, key: bytes | None
) -> None:
    assert route(event) == (kind, key)


@pytest.mark.parametrize("event", [b"broken", b"{}", b'{"type": "story.created"}', b'{"type": 1}'])
def test_without_a_type_there_is_no_topic(event: bytes) -> None:
    assert route(event) is None


@pytest.mark.parametrize(
    ("image", "is_path"),
    [("images/1.jpg", True), ("file:///1.jpg", True), ("https://h/1.jpg", False), ("", False)],
)
def test_posts_whose_image_is_a_path_are_known(image: str, is_path: bool) -> None:
    event = parsed(line("post.created", data={"image": image}))
    assert event is not None
    assert names_path(event) == is_path


def test_lines_have_numbers(tmp_path: Path) -> None:
    path = write(tmp_path / "e", [b"a", b"", b"bc", b"d"])
    assert line_numbers(path, [0, 3, 6]) == [1, 3, 4]
    assert line_numbers(path, []) == []


def held(stream: Stream, kind: str) -> list[Any]:
    """All messages of a topic."""
    consumer = KafkaConsumer(bootstrap_servers=stream.address, auto_offset_reset="earliest")
    consumer.assign([TopicPartition(stream.topic(kind), each) for each in range(4)])
    found: list[Any] = []
    ends = consumer.end_offsets(consumer.assignment())
    while len(found) < sum(ends.values()):
        found += [each for page in consumer.poll(timeout_ms=500).values() for each in page]
    consumer.close()
    return found


def test_each_line_goes_to_its_topic_and_what_cannot_is_named(
    stream: Stream, tmp_path: Path, run: Run
) -> None:
    lines = [
        line("user.updated"),
        b"broken",
        b'{"type": "post.created"}',
        b"x" * 2_000_000,
        *follow_lines(3),
    ]
    events = write(tmp_path / "e.jsonl", lines)
    outcome = run("publish", events)
    assert outcome.status == 1
    assert "--create-topics" in outcome.err
    outcome = run("publish", events, "--create-topics", "--partitions", "4")
    assert outcome.status == 1
    assert "2 lines of" in outcome.err
    assert "too large: 2, 4;" in outcome.err
    assert outcome.last_line.startswith("5 events sent (1 of them not valid), 2 lines refused")
    assert [each.value for each in held(stream, "users")] == [lines[0]]
    assert [each.value for each in held(stream, "posts")] == [lines[2]]
    follows = held(stream, "follows")
    assert sorted(each.value for each in follows) == sorted(lines[4:])
    assert {each.key for each in follows} == {b"u0", b"u1", b"u2"}
    outcome = run("publish", events, "--unreadable-to", "posts")
    assert "1 lines refused" in outcome.last_line
    assert sorted(each.value for each in held(stream, "posts")) == [b"broken", lines[2], lines[2]]


def test_a_file_that_is_not_there_and_an_address_of_nothing(
    stream: Stream, tmp_path: Path, run: Run
) -> None:
    assert "it is not a file" in run("publish", tmp_path / "absent").err
    events = write(tmp_path / "e.jsonl", follow_lines(1))
    assert "no address of Kafka" in run("publish", events, "--to", "file:///x").err
