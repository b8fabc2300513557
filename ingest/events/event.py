"""One event, from its bytes to the fact that it states.

This is the general path, written to be read. `ingest.events.decoding` does the same to whole
batches, and a property test holds the two together.
"""

from dataclasses import dataclass

import msgspec

from graphdb.facts import (
    HUMAN,
    EngagementFact,
    LabelFact,
    PostDeletion,
    PostFact,
    ProfileFact,
    SubjectKind,
    UserDeletion,
)
from graphdb.image_reference import image_in
from ingest.errors import EventRejected
from ingest.events import schema
from ingest.events.values import check_count, check_id, check_text, check_time, tie_of

MAX_REASON_CHARACTERS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowFact:
    """`follow.created` (live) or `follow.deleted` (not live)."""

    follower_id: str
    followee_id: str
    time: int
    tie: int
    live: bool


Fact = (
    FollowFact | ProfileFact | PostFact | EngagementFact | LabelFact | UserDeletion | PostDeletion
)


def read_event(line: bytes, now: int) -> Fact:
    """The fact that one event states, judged against the clock `now` (microseconds).

    Raises EventRejected with a reason of one line when the event is at fault.
    """
    return fact_of(parse(line), now)


def parse(line: bytes) -> schema.AnyEvent:
    """Decode JSON and check fields and types, or raise EventRejected."""
    try:
        if not line.isascii():
            line.decode()  # msgspec does not look into the fields that it skips
        return schema.DECODER.decode(line)
    except UnicodeDecodeError as error:
        raise EventRejected(f"invalid UTF-8 at byte {error.start}") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise EventRejected(one_line(str(error))) from None


def one_line(message: str) -> str:
    """A message without line breaks or control characters, of bounded length."""
    text = "".join(letter if letter.isprintable() else " " for letter in message)
    return text if len(text) <= MAX_REASON_CHARACTERS else text[: MAX_REASON_CHARACTERS - 1] + "…"


def fact_of(event: schema.AnyEvent, now: int, folder: str = "") -> Fact:
    """Check the values of an event and state them as a fact, or raise EventRejected.

    An image that is a path belongs to `folder`.
    """
    check_id("source", event.source)
    check_id("id", event.id)
    time = check_time("time", event.time, now)
    tie = tie_of(event.source, event.id)
    match event:
        case schema.FollowCreated() | schema.FollowDeleted():
            return _follow(event, time, tie)
        case schema.UserUpdated():
            return _profile(event.data, time, tie, now)
        case schema.PostCreated():
            return _post(event.data, time, tie, folder)
        case schema.PostEngagement():
            return _engagement(event.data, time, tie)
        case schema.UserLabeled():
            return _label("user", check_id("user_id", event.data.user_id), event.data, time, tie)
        case schema.PostLabeled():
            return _label("post", check_id("post_id", event.data.post_id), event.data, time, tie)
        case schema.UserDeleted():
            return UserDeletion(user_id=check_id("user_id", event.data.user_id), time=time)
        case schema.PostDeleted():
            return PostDeletion(post_id=check_id("post_id", event.data.post_id), time=time)


def _follow(event: schema.FollowCreated | schema.FollowDeleted, time: int, tie: int) -> FollowFact:
    follower_id = check_id("follower_id", event.data.follower_id)
    followee_id = check_id("followee_id", event.data.followee_id)
    if follower_id == followee_id:
        raise EventRejected("follower_id and followee_id are the same user")
    return FollowFact(
        follower_id=follower_id,
        followee_id=followee_id,
        time=time,
        tie=tie,
        live=isinstance(event, schema.FollowCreated),
    )


def _profile(data: schema.UserUpdatedData, time: int, tie: int, now: int) -> ProfileFact:
    return ProfileFact(
        user_id=check_id("user_id", data.user_id),
        time=time,
        tie=tie,
        username=check_text("username", data.username),
        full_name=_optional_text("full_name", data.full_name),
        biography=_optional_text("biography", data.biography),
        follower_count=_optional_count("follower_count", data.follower_count),
        following_count=_optional_count("following_count", data.following_count),
        post_count=_optional_count("post_count", data.post_count),
        is_verified=data.is_verified,
        created_at=(
            None if data.created_at is None else check_time("created_at", data.created_at, now)
        ),
    )


def _post(data: schema.PostCreatedData, time: int, tie: int, folder: str) -> PostFact:
    return PostFact(
        post_id=check_id("post_id", data.post_id),
        user_id=check_id("user_id", data.user_id),
        time=time,
        tie=tie,
        caption=check_text("caption", data.caption or ""),
        image=None if data.image is None else image_in(folder, check_text("image", data.image)),
        hashtags=tuple([check_text("hashtag", hashtag) for hashtag in data.hashtags or ()]),
        mentions=tuple([check_id("mention", user_id) for user_id in data.mentions or ()]),
        like_count=_optional_count("like_count", data.like_count),
        comment_count=_optional_count("comment_count", data.comment_count),
    )


def _engagement(data: schema.EngagementData, time: int, tie: int) -> EngagementFact:
    likes, comments = data.like_count, data.comment_count
    return EngagementFact(
        post_id=check_id("post_id", data.post_id),
        time=time,
        tie=tie,
        like_count=likes if type(likes) is int else check_count("like_count", likes),
        comment_count=comments if type(comments) is int else check_count("comment_count", comments),
    )


def _label(
    kind: SubjectKind,
    subject_id: str,
    data: schema.UserLabeledData | schema.PostLabeledData,
    time: int,
    tie: int,
) -> LabelFact:
    annotator = HUMAN if data.annotator is None else data.annotator
    return LabelFact(
        subject_kind=kind,
        subject_id=subject_id,
        task=check_id("task", data.task),
        annotator=check_id("annotator", annotator),
        labels=tuple(check_text("label", label) for label in data.labels),
        time=time,
        tie=tie,
    )


def _optional_text(name: str, value: str | None) -> str | None:
    return None if value is None else check_text(name, value)


def _optional_count(name: str, value: float | None) -> int | None:
    return value if value is None or type(value) is int else check_count(name, value)
