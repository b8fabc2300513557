"""A batch of events, from bytes to columns and facts: the fast path.

Follows, by far the most events, are checked and mapped as columns. Where a check of a column fails,
its events go through the general path of `ingest.events.event` one by one, which names the culprit;
so both paths accept the same events and state the same facts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from operator import eq

import numpy as np

from graphdb.facts import (
    Batch,
    EngagementFact,
    FollowColumns,
    LabelFact,
    PositionMove,
    PostDeletion,
    PostFact,
    ProfileFact,
    UserDeletion,
)
from ingest.errors import EventRejected
from ingest.events.event import Fact, FollowFact, fact_of, parse
from ingest.events.schema import FollowCreated, FollowDeleted
from ingest.events.values import DAY_US, MAX_BYTES_PER_CHARACTER, MAX_ID_BYTES, check_id

_DIGITS_TO_ZERO = bytes.maketrans(b"123456789", b"000000000")
_UTC_SHAPES = {b"0000-00-00T00:00:00Z"} | {
    b"0000-00-00T00:00:00." + b"0" * digits + b"Z" for digits in range(1, 10)
}

FollowEvent = FollowCreated | FollowDeleted


@dataclass(slots=True, kw_only=True)
class Decoded:
    """The facts of a batch, and the indices and reasons of the events that were rejected."""

    follows: FollowColumns = field(default_factory=FollowColumns)
    profiles: list[ProfileFact] = field(default_factory=list)
    posts: list[PostFact] = field(default_factory=list)
    engagements: list[EngagementFact] = field(default_factory=list)
    labels: list[LabelFact] = field(default_factory=list)
    user_deletions: list[UserDeletion] = field(default_factory=list)
    post_deletions: list[PostDeletion] = field(default_factory=list)
    rejected: list[tuple[int, str]] = field(default_factory=list)

    def add(self, fact: Fact) -> None:
        """Put one fact where it belongs."""
        match fact:
            case FollowFact():
                self.follows.follower_ids.append(fact.follower_id)
                self.follows.followee_ids.append(fact.followee_id)
                self.follows.times.append(fact.time)
                self.follows.ties.append(fact.tie)
                self.follows.live.append(fact.live)
            case ProfileFact():
                self.profiles.append(fact)
            case PostFact():
                self.posts.append(fact)
            case EngagementFact():
                self.engagements.append(fact)
            case LabelFact():
                self.labels.append(fact)
            case UserDeletion():
                self.user_deletions.append(fact)
            case PostDeletion():
                self.post_deletions.append(fact)

    def extend(self, other: "Decoded", first: int) -> None:
        """Add the facts of further events, whose first one has the index `first` here."""
        for column in ("follower_ids", "followee_ids", "times", "ties", "live"):
            getattr(self.follows, column).extend(getattr(other.follows, column))
        self.profiles += other.profiles
        self.posts += other.posts
        self.engagements += other.engagements
        self.labels += other.labels
        self.user_deletions += other.user_deletions
        self.post_deletions += other.post_deletions
        self.rejected += [(first + index, reason) for index, reason in other.rejected]

    def batch(self, moves: Sequence[PositionMove] = ()) -> Batch:
        """The facts with the positions that they advance."""
        return Batch(
            follows=self.follows,
            profiles=self.profiles,
            posts=self.posts,
            engagements=self.engagements,
            labels=self.labels,
            user_deletions=self.user_deletions,
            post_deletions=self.post_deletions,
            moves=moves,
        )


def decode(lines: Sequence[bytes], now: int, folder: str = "") -> Decoded:
    """Decode and check events against the clock `now` (microseconds); never raises for an event.

    Images that are paths belong to `folder`.
    """
    decoded = Decoded()
    follows: list[FollowEvent] = []
    indices: list[int] = []
    for index, line in enumerate(lines):
        try:
            event = parse(line)
            if isinstance(event, FollowCreated | FollowDeleted):
                follows.append(event)
                indices.append(index)
            else:
                decoded.add(fact_of(event, now, folder))
        except EventRejected as rejection:
            decoded.rejected.append((index, str(rejection)))
    if follows:
        _add_follows(decoded, follows, indices, now)
    decoded.rejected.sort()
    return decoded


def _add_follows(
    decoded: Decoded, follows: list[FollowEvent], indices: list[int], now: int
) -> None:
    columns = _follow_columns(follows, now)
    if columns is not None:
        decoded.follows = columns
        return
    for index, event in zip(indices, follows, strict=True):
        try:
            decoded.add(fact_of(event, now))
        except EventRejected as rejection:
            decoded.rejected.append((index, str(rejection)))


def _follow_columns(follows: list[FollowEvent], now: int) -> FollowColumns | None:
    """Columns of follows, or None when any of them needs a closer look."""
    follower_ids = [event.data.follower_id for event in follows]
    followee_ids = [event.data.followee_id for event in follows]
    event_ids = [event.id for event in follows]
    times = _utc_times([event.time for event in follows], now)
    if (
        times is None
        or not (_plain(follower_ids) and _plain(followee_ids) and _plain(event_ids))
        or any(map(eq, follower_ids, followee_ids))
    ):
        return None
    sources = [event.source for event in follows]
    ties = _ties(sources, event_ids)
    if ties is None:
        return None
    return FollowColumns(
        follower_ids=follower_ids,
        followee_ids=followee_ids,
        times=times,
        ties=ties,
        live=[type(event) is FollowCreated for event in follows],
    )


def _plain(ids: list[str]) -> bool:
    """Whether all ids are surely valid: a sufficient check, and a quick one."""
    return (
        max(map(len, ids)) * MAX_BYTES_PER_CHARACTER <= MAX_ID_BYTES
        and all(ids)
        and "".join(ids).isprintable()
    )


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
