"""How far a partition has been read, and whether its log still holds that offset."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from graphdb.facts import Position, PositionMove
from ingest.dead_letters.dead_letter import Payload
from ingest.errors import EventRejected, SourceChanged
from ingest.kafka.content_mode import structured
from ingest.sources.lines import MAX_EVENT_BYTES, TOO_LONG
from ingest.sources.source import Records, Unreadable

NO_VALUE = "the message has no value"


@dataclass(slots=True, kw_only=True)
class PartitionCursor:
    """How far one partition has been read, and the offsets between which its log lies."""

    position: Position
    stored: int | None
    """The offset that the graph will hold when the next batch comes; None: nothing yet."""
    begin: int
    end: int

    def advance(self, messages: Sequence[Any]) -> Records:
        """Move behind these messages of the partition, and return them as records."""
        move = self._move(messages[-1].offset + 1)
        lines = [message.value for message in messages]
        unreadable: list[Unreadable] = []
        if None in lines or max(map(len, lines)) > MAX_EVENT_BYTES or _has_headers(messages):
            read = [(message, _event(message)) for message in messages]
            unreadable = [event for _, event in read if isinstance(event, Unreadable)]
            messages = [message for message, event in read if isinstance(event, bytes)]
            lines = [event for _, event in read if isinstance(event, bytes)]
        return Records(
            lines=lines,
            offsets=[message.offset for message in messages],
            keys=[message.key for message in messages],
            unreadable=unreadable,
            move=move,
        )

    def skip(self, offset: int) -> Records:
        """Move to a later offset, between which and here there is nothing to read."""
        return Records(lines=[], offsets=[], move=self._move(offset))

    def _move(self, offset: int) -> PositionMove:
        position = replace(self.position, offset=offset)
        move = PositionMove(expected=self.stored, next=position)
        self.position, self.stored = position, offset
        return move


def cursor_at(start: Position, stored: Position | None, end: int) -> PartitionCursor:
    """The cursor of a partition whose log lies from `start` to `end`; raises SourceChanged."""
    if stored is None:
        return PartitionCursor(position=start, stored=None, begin=start.offset, end=end)
    if None not in (stored.fingerprint, start.fingerprint) and (
        stored.fingerprint != start.fingerprint
    ):
        raise recreated(stored)
    if not start.offset <= stored.offset <= end:
        raise out_of_range(stored, start.offset, end)
    position = replace(stored, fingerprint=start.fingerprint or stored.fingerprint)
    return PartitionCursor(position=position, stored=stored.offset, begin=start.offset, end=end)


def out_of_range(position: Position, begin: int, end: int | None = None) -> SourceChanged:
    """The log from `begin` to `end` does not hold a position."""
    if position.offset < begin:
        return lost(position, f"messages {position.offset:,} to {begin - 1:,} went unread")
    ends = "earlier" if end is None else f"at {end:,}"
    return lost(position, f"it was read up to {position.offset:,}, but ends {ends}")


def lost(position: Position, what: str) -> SourceChanged:
    """Something between what was read and what is there is lost."""
    return SourceChanged(
        f"{_name(position)}: {what}; to go on with what is there, run `mmga ingest --from earliest`"
        " (a replay is harmless)"
    )


def recreated(position: Position) -> SourceChanged:
    """The topic is not the one that was read."""
    return SourceChanged(
        f"topic {_topic(position)} was deleted and created again since partition"
        f" {position.partition} was read up to {position.offset:,}: what the old one held and was"
        " not read is lost; to read the new one, run `mmga ingest --from earliest` (a replay is"
        " harmless)"
    )


def _has_headers(messages: Sequence[Any]) -> bool:
    return any(message.headers for message in messages)


def _event(message: Any) -> bytes | Unreadable:
    """The event of a message, or why it holds none."""
    value: bytes | None = message.value
    if value is None:
        return _unreadable(message, NO_VALUE)
    if len(value) > MAX_EVENT_BYTES:
        return _unreadable(message, TOO_LONG)
    try:
        event = structured(value, message.headers)
    except EventRejected as rejection:
        return _unreadable(message, str(rejection))
    return event if len(event) <= MAX_EVENT_BYTES else _unreadable(message, TOO_LONG)


def _unreadable(message: Any, reason: str) -> Unreadable:
    return Unreadable(
        offset=message.offset,
        reason=reason,
        payload=Payload.of(message.value or b""),
        key=message.key,
    )


def _name(position: Position) -> str:
    return f"partition {position.partition} of topic {_topic(position)}"


def _topic(position: Position) -> str:
    return position.source.rpartition("/")[2]
