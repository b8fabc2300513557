"""Facts and batches in few words, for tests that name only what matters to them.

A fact's tie is, unless given, a hash of its content, as an event's is of its identity: one
content is one event, and two contents of one time are ordered, arbitrarily but always alike.
"""

from collections.abc import Iterable
from hashlib import blake2b

from graphdb.facts import (
    HUMAN,
    Batch,
    EngagementFact,
    FollowColumns,
    LabelFact,
    Position,
    PositionMove,
    PostDeletion,
    PostFact,
    ProfileFact,
    SubjectKind,
    UserDeletion,
)
from tests.graphdb.specification import Fact, FollowFact


def tie_of(*content: object) -> int:
    """A signed 64-bit integer that depends on the content alone."""
    return int.from_bytes(blake2b(repr(content).encode(), digest_size=8).digest(), "big") - 2**63


def profile(
    user_id: str,
    time: int,
    *,
    tie: int | None = None,
    username: str | None = None,
    full_name: str | None = None,
    biography: str | None = None,
    follower_count: int | None = None,
    following_count: int | None = None,
    post_count: int | None = None,
    is_verified: bool | None = None,
    created_at: int | None = None,
) -> ProfileFact:
    username = username or f"name of {user_id} at {time}"
    rest = (full_name, biography, follower_count, following_count, post_count, is_verified)
    return ProfileFact(
        user_id=user_id,
        time=time,
        tie=tie_of(user_id, time, username, *rest, created_at) if tie is None else tie,
        username=username,
        full_name=full_name,
        biography=biography,
        follower_count=follower_count,
        following_count=following_count,
        post_count=post_count,
        is_verified=is_verified,
        created_at=created_at,
    )


def post(
    post_id: str,
    user_id: str,
    time: int,
    *,
    tie: int | None = None,
    caption: str | None = None,
    image: str | None = None,
    hashtags: Iterable[str] = (),
    mentions: Iterable[str] = (),
    like_count: int | None = None,
    comment_count: int | None = None,
) -> PostFact:
    caption = f"caption of {post_id} at {time}" if caption is None else caption
    hashtags, mentions = tuple(hashtags), tuple(mentions)
    rest = (caption, image, hashtags, mentions, like_count, comment_count)
    return PostFact(
        post_id=post_id,
        user_id=user_id,
        time=time,
        tie=tie_of(post_id, user_id, time, *rest) if tie is None else tie,
        caption=caption,
        image=image,
        hashtags=hashtags,
        mentions=mentions,
        like_count=like_count,
        comment_count=comment_count,
    )


def engagement(
    post_id: str, time: int, *, likes: int, comments: int, tie: int | None = None
) -> EngagementFact:
    return EngagementFact(
        post_id=post_id,
        time=time,
        tie=tie_of(post_id, time, likes, comments) if tie is None else tie,
        like_count=likes,
        comment_count=comments,
    )


def label(
    subject_kind: SubjectKind,
    subject_id: str,
    time: int,
    *labels: str,
    task: str = "topic",
    annotator: str = HUMAN,
    tie: int | None = None,
) -> LabelFact:
    """No labels: a withdrawal."""
    content = (subject_kind, subject_id, time, labels, task, annotator)
    return LabelFact(
        subject_kind=subject_kind,
        subject_id=subject_id,
        task=task,
        annotator=annotator,
        labels=labels,
        time=time,
        tie=tie_of(*content) if tie is None else tie,
    )


def follow(
    follower_id: str, followee_id: str, time: int, *, live: bool = True, tie: int | None = None
) -> FollowFact:
    return FollowFact(
        follower_id=follower_id,
        followee_id=followee_id,
        time=time,
        tie=tie_of(follower_id, followee_id, time, live) if tie is None else tie,
        live=live,
    )


def unfollow(
    follower_id: str, followee_id: str, time: int, *, tie: int | None = None
) -> FollowFact:
    return follow(follower_id, followee_id, time, live=False, tie=tie)


def user_deletion(user_id: str, time: int) -> UserDeletion:
    return UserDeletion(user_id=user_id, time=time)


def post_deletion(post_id: str, time: int) -> PostDeletion:
    return PostDeletion(post_id=post_id, time=time)


def move(
    expected: int | None, offset: int, *, source: str = "events", partition: int = 0
) -> PositionMove:
    position = Position(source=source, partition=partition, offset=offset)
    return PositionMove(expected=expected, next=position)


def batch_of(facts: Iterable[Fact], moves: Iterable[PositionMove] = ()) -> Batch:
    """A batch of these facts; within a kind they keep their order."""
    facts = list(facts)
    rows = [fact for fact in facts if isinstance(fact, FollowFact)]
    return Batch(
        follows=FollowColumns(
            follower_ids=[row.follower_id for row in rows],
            followee_ids=[row.followee_id for row in rows],
            times=[row.time for row in rows],
            ties=[row.tie for row in rows],
            live=[row.live for row in rows],
        ),
        profiles=[fact for fact in facts if isinstance(fact, ProfileFact)],
        posts=[fact for fact in facts if isinstance(fact, PostFact)],
        engagements=[fact for fact in facts if isinstance(fact, EngagementFact)],
        labels=[fact for fact in facts if isinstance(fact, LabelFact)],
        user_deletions=[fact for fact in facts if isinstance(fact, UserDeletion)],
        post_deletions=[fact for fact in facts if isinstance(fact, PostDeletion)],
        moves=list(moves),
    )
