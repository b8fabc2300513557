"""The wire format of events: CloudEvents 1.0 in JSON, structured mode, one struct a type.

These structs say which fields there are and of which JSON type; `ingest.events.event` says which
values are allowed. Unknown fields are ignored. `time` stays text, because msgspec rounds to
microseconds where the contract cuts.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

MAX_COUNT = 2**63 - 1

Count = Annotated[int, Meta(ge=0, le=MAX_COUNT)] | Annotated[float, Meta(ge=0.0, lt=2.0**63)]
"""A whole number of 0 or more, also written `3.0`, as pandas writes integers beside gaps."""


class Event(Struct, tag_field="type", gc=False):
    """The attributes that every event has."""

    specversion: Literal["1.0"]
    id: str
    source: str
    time: str
    subject: str | None = None


class UserUpdatedData(Struct, gc=False):
    """A whole profile."""

    user_id: str
    username: str
    full_name: str | None = None
    biography: str | None = None
    follower_count: Count | None = None
    following_count: Count | None = None
    post_count: Count | None = None
    is_verified: bool | None = None
    created_at: str | None = None


class PostCreatedData(Struct, gc=False):
    """A whole post."""

    post_id: str
    user_id: str
    caption: str | None = None
    hashtags: tuple[str, ...] | None = None
    mentions: tuple[str, ...] | None = None
    image: str | None = None
    like_count: Count | None = None
    comment_count: Count | None = None


class EngagementData(Struct, gc=False):
    """Absolute counts of a post."""

    post_id: str
    like_count: Count
    comment_count: Count


class FollowData(Struct, gc=False):
    """The two ends of a follow."""

    follower_id: str
    followee_id: str


class UserData(Struct, gc=False):
    """The key of a user."""

    user_id: str


class PostData(Struct, gc=False):
    """The key of a post."""

    post_id: str


class UserLabeledData(Struct, gc=False):
    """One annotator's labels of a user."""

    user_id: str
    task: str
    labels: list[str]
    annotator: str | None = None


class PostLabeledData(Struct, gc=False):
    """One annotator's labels of a post."""

    post_id: str
    task: str
    labels: list[str]
    annotator: str | None = None


class UserUpdated(Event, kw_only=True, tag="user.updated", gc=False):
    """A profile was created or changed."""

    data: UserUpdatedData


class UserDeleted(Event, kw_only=True, tag="user.deleted", gc=False):
    """An account went, with all that was said about it."""

    data: UserData


class PostCreated(Event, kw_only=True, tag="post.created", gc=False):
    """A post was published or edited."""

    data: PostCreatedData


class PostEngagement(Event, kw_only=True, tag="post.engagement", gc=False):
    """The counts of a post were read."""

    data: EngagementData


class PostDeleted(Event, kw_only=True, tag="post.deleted", gc=False):
    """A post went."""

    data: PostData


class FollowCreated(Event, kw_only=True, tag="follow.created", gc=False):
    """One user follows another."""

    data: FollowData


class FollowDeleted(Event, kw_only=True, tag="follow.deleted", gc=False):
    """One user no longer follows another."""

    data: FollowData


class UserLabeled(Event, kw_only=True, tag="user.labeled", gc=False):
    """An annotator labelled a user, or withdrew the labels."""

    data: UserLabeledData


class PostLabeled(Event, kw_only=True, tag="post.labeled", gc=False):
    """An annotator labelled a post, or withdrew the labels."""

    data: PostLabeledData


AnyEvent = (
    UserUpdated
    | UserDeleted
    | PostCreated
    | PostEngagement
    | PostDeleted
    | FollowCreated
    | FollowDeleted
    | UserLabeled
    | PostLabeled
)

DECODER: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)
"""Decodes one event; stateless and safe to share."""
