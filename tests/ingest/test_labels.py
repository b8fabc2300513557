"""Lines of labels become events."""

import os
from pathlib import Path

from graphdb.facts import LabelFact
from ingest.events.labels import LabelDecoder
from tests.ingest.made import NOW

DECODER = LabelDecoder(time="2026-01-01T00:00:00+00:00")
TIME_US = 1_767_225_600_000_000


def stated(line: bytes) -> tuple[str, str, str, str, tuple[str, ...], int]:
    decoded = DECODER([line], NOW)
    assert decoded.rejected == []
    [fact] = decoded.labels
    assert isinstance(fact, LabelFact)
    return (
        fact.subject_kind,
        fact.subject_id,
        fact.task,
        fact.annotator,
        fact.labels,
        fact.time,
    )


def test_both_forms() -> None:
    assert stated(b'{"user_id": "u", "topic": "D"}') == (
        "user",
        "u",
        "topic",
        "human",
        ("D",),
        TIME_US,
    )
    assert stated(
        b'{"post_id": "p", "task": "t", "labels": ["a", "b"], "annotator": "m", "x": 1}'
    ) == ("post", "p", "t", "m", ("a", "b"), TIME_US)
    assert stated(b'{"user_id": "u", "task": "t", "labels": []}')[4] == ()


def test_the_same_line_is_the_same_event_and_another_one_is_not() -> None:
    lines = [b'{"user_id": "u", "topic": "D"}', b'{"user_id": "u", "topic": "R"}']
    first, second, third = DECODER([*lines, lines[0] + b"\r"], NOW).labels
    assert first == third
    assert first.tie != second.tie


def test_bad_lines_are_rejected_where_they_stand() -> None:
    good = b'{"user_id": "u", "topic": "D"}'
    bad = {
        b"x": "malformed",
        b"[]": "object",
        b'{"topic": "D"}': "either a user_id or a post_id",
        b'{"user_id": "u", "post_id": "p", "topic": "D"}': "either a user_id or a post_id",
        b'{"user_id": "u"}': "either a task and labels, or a topic",
        b'{"user_id": "u", "topic": "D", "labels": ["D"]}': "either a task",
        b'{"user_id": "u", "topic": null}': "either a task",
        b'{"user_id": "", "topic": "D"}': "user_id is empty",
        b'{"user_id": "u", "topic": "a\\u0000"}': "NUL",
        b'{"user_id": "u\xff", "topic": "D"}': "utf-8",
        b'{"user_id": "u", "task": "", "labels": []}': "task is empty",
    }
    lines = [text for pair in bad for text in (pair, good)]
    decoded = DECODER(lines, NOW)
    assert len(decoded.labels) == len(bad)
    assert [index for index, _ in decoded.rejected] == list(range(0, len(lines), 2))
    for (_, reason), expected in zip(decoded.rejected, bad.values(), strict=True):
        assert expected in reason


def test_the_time_is_that_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    path.touch()
    os.utime(path, ns=(0, 1_767_225_600_123_456_789))
    [fact] = LabelDecoder.of(path)([b'{"user_id": "u", "topic": "D"}'], NOW).labels
    assert fact.time == TIME_US + 123_456
