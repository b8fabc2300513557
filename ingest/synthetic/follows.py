"""Follow events in bulk, for benchmarks."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FIRST = np.datetime64("2024-01-01T00:00:00.000", "ms")
STEP = np.timedelta64(5, "s")
TAIL_EXPONENT = 3
LINES_PER_WRITE = 100_000

LINE = (
    '{{"specversion": "1.0", "id": "follow-{0}", "source": "/instagram", "type": "follow.{1}",'
    ' "time": "{2}Z", "subject": "u{3}",'
    ' "data": {{"follower_id": "u{3}", "followee_id": "u{4}"}}}}\n'
)


def write_follow_events(
    path: Path,
    *,
    num_events: int,
    num_users: int,
    duplicates: float = 0.05,
    unfollows: float = 0.03,
    seed: int = 0,
) -> None:
    """Write `num_events` lines of follow.created and follow.deleted, in order of time.

    Popularity has a heavy tail. The fractions `duplicates` repeat an earlier line, and `unfollows`
    end an earlier follow. All but the duplicates have times of their own.
    """
    rng = np.random.default_rng(seed)
    follower = rng.integers(num_users, size=num_events)
    followee = (num_users * rng.random(num_events) ** TAIL_EXPONENT).astype(np.int64)
    followee = np.where(followee == follower, (followee + 1) % num_users, followee)
    earlier = (np.arange(num_events) * rng.random(num_events)).astype(np.int64)
    kind = rng.random(num_events)
    kind[0] = 1.0
    ends = (kind >= duplicates) & (kind < duplicates + unfollows)
    origin = _origins(np.where(kind < duplicates, earlier, np.arange(num_events)))
    # The pair that an unfollow ends is that of an earlier event, whichever its kind.
    pair = _origins(np.where(ends, origin[earlier], np.arange(num_events)))
    times = np.datetime_as_string(FIRST + np.arange(num_events) * STEP, unit="ms")
    verb = np.where(ends, "deleted", "created")
    with path.open("w", encoding="ascii") as file:
        for first in range(0, num_events, LINES_PER_WRITE):
            rows = origin[first : first + LINES_PER_WRITE]
            ends_of = pair[rows]
            columns = (rows, verb[rows], times[rows], follower[ends_of], followee[ends_of])
            lists = [column.tolist() for column in columns]
            file.writelines(LINE.format(*row) for row in zip(*lists, strict=True))


def _origins(parents: NDArray[np.int64]) -> NDArray[np.int64]:
    """Follow each chain of earlier rows to its start (a row is its own parent there)."""
    while not np.array_equal(parents, parents[parents]):
        parents = parents[parents]
    return parents
