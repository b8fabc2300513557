"""A batch of events, from bytes to columns and facts: the fast path.

Follows, posts and their counts, by far the most events, are checked and mapped as columns. Where a
check of a column fails, the events of its kind go through the general path of `ingest.events.event`
one by one, which names the culprit; so both paths accept the same events and state the same facts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import eq
from typing import Any

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
from graphdb.image_reference import image_in
from ingest.errors import EventRejected
from ingest.events.columns import are_ids, are_integers, are_texts, times_and_ties
from ingest.events.event import Fact, FollowFact, fact_of, parse
from ingest.events.schema import (
    AnyEvent,
    FollowCreated,
    FollowDeleted,
    PostCreated,
    PostCreatedData,
    PostEngagement,
)

EVENTS_AT_ONCE = 500
"""So many events, their values and their facts stay in a processor's cache."""


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
    for first in range(0, len(lines), EVENTS_AT_ONCE):
        decoded.extend(_decode_some(lines[first : first + EVENTS_AT_ONCE], now, folder), first)
    return decoded


def _decode_some(lines: Sequence[bytes], now: int, folder: str) -> Decoded:
    decoded = Decoded()
    groups: dict[AddColumns, tuple[list[int], list[AnyEvent]]] = {}
    for index, line in enumerate(lines):
        try:
            event = parse(line)
        except EventRejected as rejection:
            decoded.rejected.append((index, str(rejection)))
            continue
        indices, events = groups.setdefault(COLUMNS.get(type(event), _no_columns), ([], []))
        indices.append(index)
        events.append(event)
    for add_columns, (indices, events) in groups.items():
        if not add_columns(decoded, events, now, folder):
            _add_one_by_one(decoded, indices, events, now, folder)
    decoded.rejected.sort()
    return decoded


def _add_one_by_one(
    decoded: Decoded, indices: list[int], events: list[AnyEvent], now: int, folder: str
) -> None:
    for index, event in zip(indices, events, strict=True):
        try:
            decoded.add(fact_of(event, now, folder))
        except EventRejected as rejection:
            decoded.rejected.append((index, str(rejection)))


def _no_columns(decoded: Decoded, events: list[Any], now: int, folder: str) -> bool:
    return False


def _add_follows(
    decoded: Decoded, events: list[FollowCreated | FollowDeleted], now: int, folder: str
) -> bool:
    follower_ids = [event.data.follower_id for event in events]
    followee_ids = [event.data.followee_id for event in events]
    orders = times_and_ties(events, now)
    if (
        orders is None
        or not (are_ids(follower_ids) and are_ids(followee_ids))
        or any(map(eq, follower_ids, followee_ids))
    ):
        return False
    times, ties = orders
    decoded.follows = FollowColumns(
        follower_ids=follower_ids,
        followee_ids=followee_ids,
        times=times,
        ties=ties,
        live=[type(event) is FollowCreated for event in events],
    )
    return True


def _are_valid(posts: list[PostCreatedData]) -> bool:
    """Whether the values of all posts surely are."""
    ids = [identity for post in posts for identity in (post.post_id, post.user_id)]
    ids += chain.from_iterable([post.mentions or () for post in posts])
    texts = [text for post in posts for text in (post.caption, post.image) if text]
    texts += chain.from_iterable([post.hashtags or () for post in posts])
    counts = [count for post in posts for count in (post.like_count, post.comment_count)]
    return are_ids(ids) and are_texts(texts) and are_integers(counts)


def _add_posts(decoded: Decoded, events: list[PostCreated], now: int, folder: str) -> bool:
    posts = [event.data for event in events]
    orders = times_and_ties(events, now)
    if orders is None or not _are_valid(posts):
        return False
    decoded.posts = [
        PostFact(
            post_id=post.post_id,
            user_id=post.user_id,
            time=time,
            tie=tie,
            caption=post.caption or "",
            image=post.image and image_in(folder, post.image),
            hashtags=post.hashtags or (),
            mentions=post.mentions or (),
            like_count=post.like_count,  # type: ignore[arg-type]
            comment_count=post.comment_count,  # type: ignore[arg-type]
        )
        for post, time, tie in zip(posts, *orders, strict=True)
    ]
    return True


def _add_engagements(decoded: Decoded, events: list[PostEngagement], now: int, folder: str) -> bool:
    counts = [event.data for event in events]
    orders = times_and_ties(events, now)
    if (
        orders is None
        or not are_ids([each.post_id for each in counts])
        or not are_integers([n for each in counts for n in (each.like_count, each.comment_count)])
    ):
        return False
    decoded.engagements = [
        EngagementFact(
            post_id=each.post_id,
            time=time,
            tie=tie,
            like_count=each.like_count,  # type: ignore[arg-type]
            comment_count=each.comment_count,  # type: ignore[arg-type]
        )
        for each, time, tie in zip(counts, *orders, strict=True)
    ]
    return True


AddColumns = Callable[[Decoded, list[Any], int, str], bool]
"""Adds the facts of events of one kind; False, and nothing is added, where one needs a closer look.
"""

COLUMNS: dict[type[AnyEvent], AddColumns] = {
    FollowCreated: _add_follows,
    FollowDeleted: _add_follows,
    PostCreated: _add_posts,
    PostEngagement: _add_engagements,
}
