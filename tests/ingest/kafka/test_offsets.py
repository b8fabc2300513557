"""Places in a log: what was read chains, and what the log no longer holds is named."""

from collections.abc import Sequence

import pytest
from kafka.consumer.fetcher import ConsumerRecord

from graphdb.facts import Position
from ingest.errors import SourceChanged
from ingest.kafka.offsets import cursor_at
from tests.ingest.made import line


def at(offset: int, topic_id: str | None = "id") -> Position:
    return Position(
        source="kafka://cluster/instagram.follows",
        partition=3,
        offset=offset,
        fingerprint=topic_id,
    )


def message(
    offset: int, value: bytes | None, headers: Sequence[tuple[str, bytes | None]] = ()
) -> ConsumerRecord:
    return ConsumerRecord("t", 3, -1, offset, 0, 0, b"k", value, headers, None, 1, 1, 0)


def test_moves_chain_from_what_is_stored_over_gaps_in_the_log() -> None:
    place = cursor_at(at(5), at(7), 20)
    first = place.advance([message(7, line()), message(9, None)])
    second = place.advance([message(12, line())])
    assert (first.move.expected, first.move.next) == (7, at(10))
    assert (second.move.expected, second.move.next) == (10, at(13))
    assert (first.offsets, first.keys) == ([7], [b"k"])
    assert [each.offset for each in first.unreadable] == [9]


def test_a_move_without_messages_chains_too() -> None:
    place = cursor_at(at(5), at(7), 20)
    place.advance([message(7, line())])
    records = place.skip(11)
    assert (records.move.expected, records.move.next, len(records)) == (8, at(11), 0)
    assert place.advance([message(11, line())]).move.expected == 11


def test_a_message_in_binary_mode_is_read_and_its_neighbours_stay_as_they_are() -> None:
    headers = [("ce_id", b"1"), ("content-type", b"application/avro")]
    records = cursor_at(at(5), None, 20).advance(
        [
            message(5, line()),
            message(6, b'{"user_id": "u"}', [("ce_id", b"1"), ("ce_type", b"user.deleted")]),
            message(7, b"Obj", headers),
            message(8, line(), [("trace", b"\xff")]),
        ]
    )
    whole = b'{"id":"1","type":"user.deleted","data":{"user_id": "u"}}'
    assert (records.lines, records.offsets) == ([line(), whole, line()], [5, 6, 8])
    [unreadable] = records.unreadable
    assert (unreadable.offset, unreadable.payload.content) == (7, b"Obj")
    assert "content-type application/avro cannot be read" in unreadable.reason


def test_what_was_never_read_starts_where_the_log_does() -> None:
    assert cursor_at(at(5), None, 20).advance([message(5, line())]).move.expected is None


def test_the_ends_of_the_log_are_inside() -> None:
    assert cursor_at(at(5), at(5), 20).position.offset == 5
    assert cursor_at(at(5), at(20), 20).position.offset == 20


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        (at(4), "partition 3 of topic instagram.follows: messages 4 to 4 went unread"),
        (at(21), "it was read up to 21, but ends at 20"),
        (at(7, "another"), "topic instagram.follows was deleted and created again"),
    ],
)
def test_what_the_log_no_longer_holds_is_named(stored: Position, reason: str) -> None:
    with pytest.raises(SourceChanged, match=reason) as raised:
        cursor_at(at(5), stored, 20)
    assert "--from earliest" in str(raised.value)


def test_a_broker_without_ids_of_topics_is_believed() -> None:
    assert cursor_at(at(5, None), at(7, "id"), 20).position.fingerprint == "id"
    assert cursor_at(at(5, "id"), at(7, None), 20).position.fingerprint == "id"
