"""How far a partition has been read, and whether its log still holds that offset."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from graphdb.facts import Position, PositionMove
from ingest.dead_letters.dead_letter import Payload
from ingest.errors import SourceChanged
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
        position = replace(self.position, offset=messages[-1].offset + 1)
        move = PositionMove(expected=self.stored, next=position)
        self.position, self.stored = position, position.offset
        lines = [message.value for message in messages]
        unreadable: list[Unreadable] = []
        if None in lines or max(map(len, lines)) > MAX_EVENT_BYTES:
            unreadable = [_unreadable(each) for each in messages if not _is_readable(each.value)]
            messages = [message for message in messages if _is_readable(message.value)]
            lines = [message.value for message in messages]
        return Records(
            lines=lines,
            offsets=[message.offset for message in messages],
            keys=[message.key for message in messages],
            unreadable=unreadable,
            move=move,
        )


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


def _is_readable(value: bytes | None) -> bool:
    return value is not None and len(value) <= MAX_EVENT_BYTES


def _unreadable(message: Any) -> Unreadable:
    return Unreadable(
        offset=message.offset,
        reason=NO_VALUE if message.value is None else TOO_LONG,
        payload=Payload.of(message.value or b""),
        key=message.key,
    )


def _name(position: Position) -> str:
    return f"partition {position.partition} of topic {_topic(position)}"


def _topic(position: Position) -> str:
    return position.source.rpartition("/")[2]
