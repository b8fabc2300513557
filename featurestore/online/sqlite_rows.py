"""A row as Feast lays it out in SQLite: one table row for each feature.

Feast keeps whole seconds in `event_ts`. The exact commit time of a user's row is stored as one more
feature, `_commit_time`. Where stock Feast wrote later, its `event_ts` is greater and takes
precedence.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from featurestore.online.rows import EncodedRow
from featurestore.online.values import INTEGER
from featurestore.online.varint import read_varint, varint

COMMIT_TIME = "_commit_time"
MAX_KEYS = 1_000
MICROSECONDS = 1_000_000
NEVER = -(2**62)


def table_rows(
    rows: Iterable[EncodedRow],
) -> Iterator[tuple[bytes, str, bytes, str | None, int]]:
    """Rows of Feast's table, the commit time as one more feature."""
    stamps: dict[int, tuple[bytes, int]] = {}
    for row in rows:
        time = row.commit_time
        if time not in stamps:
            stamps[time] = (INTEGER + varint(time), feast_seconds(time))
        message, seconds = stamps[time]
        for name, value, text in row.cells:
            yield row.key, name, value, text, seconds
        yield row.key, COMMIT_TIME, message, None, seconds


def commit_times(
    connection: sqlite3.Connection, table: str, keys: Sequence[bytes]
) -> dict[bytes, int]:
    """Commit time of each row that exists."""
    times: dict[bytes, int] = {}
    for start in range(0, len(keys), MAX_KEYS):
        chunk = keys[start : start + MAX_KEYS]
        rows = connection.execute(
            "SELECT entity_key, max(event_ts), "
            f"max(CASE feature_name WHEN '{COMMIT_TIME}' THEN event_ts END), "
            f"max(CASE feature_name WHEN '{COMMIT_TIME}' THEN value END) "
            f"FROM {table} WHERE entity_key IN ({marks(chunk)}) GROUP BY entity_key",
            chunk,
        )
        for key, seconds, stamp_seconds, stamp in rows:
            ours = (NEVER, 0) if stamp is None else (stamp_seconds, read_varint(stamp, 1)[0])
            times[key] = newest(seconds, ours)
    return times


def newest(seconds: int, stamp: tuple[int, int]) -> int:
    """Commit time of a row from its greatest event_ts and our (event_ts, microseconds).

    0 where there is no row. A greater event_ts is a later write of stock Feast.
    """
    stamp_seconds, time = stamp
    if seconds > stamp_seconds:
        return from_feast_seconds(seconds)
    return time


def feast_seconds(time: int) -> int:
    """The seconds that Feast stores: it reads the UTC wall clock as local time."""
    clock = datetime.fromtimestamp(time // MICROSECONDS, UTC).replace(tzinfo=None)
    return int(clock.timestamp())


def from_feast_seconds(seconds: int) -> int:
    """The time in microseconds that Feast's stored seconds stand for."""
    clock = datetime.fromtimestamp(seconds).replace(tzinfo=UTC)
    return int(clock.timestamp()) * MICROSECONDS


def marks(values: Sequence[object]) -> str:
    """As many question marks as there are values."""
    return ",".join("?" * len(values))
