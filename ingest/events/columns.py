"""Checks of whole columns: quick, and sufficient where they pass.

Where one fails, its events need a closer look one by one: that may accept them all the same.
"""

from collections.abc import Collection, Sequence
from hashlib import blake2b

import numpy as np

from ingest.errors import EventRejected
from ingest.events.schema import Event
from ingest.events.values import (
    DAY_US,
    MAX_BYTES_PER_CHARACTER,
    MAX_ID_BYTES,
    MAX_TEXT_BYTES,
    check_id,
)

_DIGITS_TO_ZERO = bytes.maketrans(b"123456789", b"000000000")
_UTC_SHAPES = {b"0000-00-00T00:00:00Z"} | {
    b"0000-00-00T00:00:00." + b"0" * digits + b"Z" for digits in range(1, 10)
}
_INTEGERS = {int, type(None)}


def are_ids(ids: Collection[str]) -> bool:
    """Whether all are surely valid ids."""
    return (
        max(map(len, ids), default=0) * MAX_BYTES_PER_CHARACTER <= MAX_ID_BYTES
        and all(ids)
        and "".join(ids).isprintable()
    )


def are_texts(texts: Collection[str]) -> bool:
    """Whether all are surely valid texts."""
    return max(
        map(len, texts), default=0
    ) * MAX_BYTES_PER_CHARACTER <= MAX_TEXT_BYTES and "\0" not in "".join(texts)


def are_integers(counts: Collection[float | None]) -> bool:
    """Whether all counts that are given were written as integers."""
    return _INTEGERS.issuperset(map(type, counts))


def times_and_ties(events: Sequence[Event], now: int) -> tuple[list[int], list[int]] | None:
    """The times and ties of events, or None when one of their attributes may not be valid."""
    event_ids = [event.id for event in events]
    times = _utc_times([event.time for event in events], now)
    if times is None or not are_ids(event_ids):
        return None
    ties = _ties([event.source for event in events], event_ids)
    return None if ties is None else (times, ties)


def _utc_times(times: list[str], now: int) -> list[int] | None:
    """Microseconds of valid times that all end in Z, or None."""
    text = "\n".join(times)
    if not text.isascii():
        return None
    shapes = text.encode().translate(_DIGITS_TO_ZERO).split(b"\n")
    if not _UTC_SHAPES.issuperset(shapes):
        return None
    try:
        moments = np.array([time[:-1] for time in times], dtype="datetime64[us]").astype(np.int64)
    except ValueError:
        return None
    if moments.min() < 0 or moments.max() > now + DAY_US:
        return None
    result: list[int] = moments.tolist()
    return result


def _ties(sources: list[str], event_ids: list[str]) -> list[int] | None:
    """The tie of each event, or None when a source is not valid."""
    prefixes: dict[str, bytes] = {}
    for source in set(sources):
        try:
            prefixes[source] = check_id("source", source).encode() + b"\0"
        except EventRejected:
            return None
    digests = b"".join(
        [
            blake2b(prefixes[source] + event_id.encode()).digest()[:8]
            for source, event_id in zip(sources, event_ids, strict=True)
        ]
    )
    ties: list[int] = np.frombuffer(digests, dtype=">i8").tolist()
    return ties
