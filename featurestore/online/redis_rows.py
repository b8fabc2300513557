"""A row as Feast lays it out on Redis: fields of the user's hash, and the row's time.

A feature is the field named by the murmur3 of `view:feature`. The time of a row is the field
`_ts:VIEW`, a `Timestamp` message of seconds and nanoseconds.
"""

from collections.abc import Sequence

import mmh3
import numpy as np
from numpy.typing import NDArray

from featurestore.online.rows import EncodedRow
from featurestore.online.varint import read_varint, varint

MICROSECONDS = 1_000_000


def field(view: str, feature: str) -> bytes:
    """The hash field in which Feast stores a feature."""
    return mmh3.hash(f"{view}:{feature}", signed=False).to_bytes(4, "little")


def time_field(view: str) -> bytes:
    """The hash field in which Feast stores the time of a row."""
    return f"_ts:{view}".encode()


def parts(time: int) -> tuple[int, int]:
    """Split microseconds into seconds and nanoseconds."""
    seconds, microseconds = divmod(time, MICROSECONDS)
    return seconds, microseconds * 1_000


def stamp(time: int) -> bytes:
    """Encode microseconds as a `Timestamp` message."""
    seconds, nanoseconds = parts(time)
    return (b"\x08" + varint(seconds) if seconds else b"") + (
        b"\x10" + varint(nanoseconds) if nanoseconds else b""
    )


def commit_times(stamps: Sequence[bytes | None]) -> NDArray[np.int64]:
    """Commit times (B,) in microseconds from `Timestamp` messages; 0 where there is no row."""
    known: dict[bytes | None, int] = {None: 0}
    for each in stamps:
        if each not in known:
            known[each] = time_of(each or b"")
    return np.array([known[each] for each in stamps], np.int64)


def time_of(message: bytes) -> int:
    """Decode a `Timestamp` message to microseconds."""
    numbers = {0x08: 0, 0x10: 0}
    start = 0
    while start < len(message):
        tag = message[start]
        numbers[tag], start = read_varint(message, start + 1)
    seconds = numbers[0x08] - (2**64 if numbers[0x08] >= 2**63 else 0)
    return seconds * MICROSECONDS + numbers[0x10] // 1_000


def cells_of(row: EncodedRow) -> tuple[bytes, ...]:
    """The time and the values of a row."""
    return (stamp(row.commit_time), *(value for _, value, _ in row.cells))
