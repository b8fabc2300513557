"""What a batch of events says about the graph, before any store has seen it.

Facts are inert and already valid. `time` is in microseconds since 1970 (UTC). `tie` is a signed
64-bit integer that orders facts of one key and one time. Per key the greatest
(time, deletion over creation, tie) wins, whatever the order of arrival.

Those that come in great numbers are structs: one is made in a tenth of the time of a dataclass.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from msgspec import Struct

FOREVER = 2**63 - 1
"""The time of a deletion that voids whatever is ever said about a user (erasure)."""

HUMAN = "human"
"""The annotator of a label whose event names none."""

SubjectKind = Literal["user", "post"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileFact:
    """`user.updated`: the whole profile; what is None is absent."""

    user_id: str
    time: int
    tie: int
    username: str
    full_name: str | None = None
    biography: str | None = None
    follower_count: int | None = None
    following_count: int | None = None
    post_count: int | None = None
    is_verified: bool | None = None
    created_at: int | None = None


class PostFact(Struct, frozen=True, kw_only=True, gc=False):
    """`post.created`: the whole post; counts that are given are facts of their own.

    `image` is as `graphdb.image_reference` has it.
    """

    post_id: str
    user_id: str
    time: int
    tie: int
    caption: str
    image: str | None = None
    hashtags: tuple[str, ...] = ()
    mentions: tuple[str, ...] = ()
    like_count: int | None = None
    comment_count: int | None = None


class EngagementFact(Struct, frozen=True, kw_only=True, gc=False):
    """`post.engagement`: absolute counts of a post."""

    post_id: str
    time: int
    tie: int
    like_count: int
    comment_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelFact:
    """`user.labeled` and `post.labeled`: one annotator's labels; none withdraws them."""

    subject_kind: SubjectKind
    subject_id: str
    task: str
    annotator: str
    labels: tuple[str, ...]
    time: int
    tie: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UserDeletion:
    """`user.deleted`: voids every fact about the user, at either end, of this time or before."""

    user_id: str
    time: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PostDeletion:
    """`post.deleted`: voids the post's content, counts and labels of this time or before."""

    post_id: str
    time: int


@dataclass(slots=True, kw_only=True)
class FollowColumns:
    """`follow.created` (live) and `follow.deleted` (not live) as columns of equal length."""

    follower_ids: list[str] = field(default_factory=list)
    followee_ids: list[str] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    ties: list[int] = field(default_factory=list)
    live: list[bool] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.times)


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """How far a partition of a source has been applied.

    `fingerprint` shows whether the source is still the one that was read: for a file, the length
    and SHA-256 of its first bytes.
    """

    source: str
    partition: int
    offset: int
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionMove:
    """The advance of one partition, made in the transaction of the batch.

    `expected` is the offset that must be stored now (None: nothing is stored yet).
    """

    expected: int | None
    next: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Facts and the stream positions that they advance, committed together or not at all.

    A batch without moves is idempotent and may be repeated. `prepared` is what a store that
    `Prepares` has made of it.
    """

    follows: FollowColumns = field(default_factory=FollowColumns)
    profiles: Sequence[ProfileFact] = ()
    posts: Sequence[PostFact] = ()
    engagements: Sequence[EngagementFact] = ()
    labels: Sequence[LabelFact] = ()
    user_deletions: Sequence[UserDeletion] = ()
    post_deletions: Sequence[PostDeletion] = ()
    moves: Sequence[PositionMove] = ()
    prepared: object = field(default=None, compare=False, repr=False)
