"""A hash of the graph's content: equal exactly when two graphs hold the same state.

It is the sum modulo 2^128 of the BLAKE2b-128 of one compact JSON array for each item, so it
depends neither on the order of the items nor on the backend that holds them, nor on where events
were read.
"""

import json
from collections.abc import Iterable
from hashlib import blake2b

from graphdb.image_reference import folder_and_reference
from graphdb.store import Label, Post, Profile

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class StateDigest:
    """Sums items as they stream by; nothing but the sum is kept."""

    def __init__(self) -> None:
        self._sum = 0

    def add_profiles(self, profiles: Iterable[Profile]) -> None:
        """Add existing users."""
        for user in profiles:
            self._add(
                "user",
                user.user_id,
                user.username,
                user.full_name,
                user.biography,
                user.follower_count,
                user.following_count,
                user.post_count,
                user.is_verified,
                user.created_at,
            )

    def add_posts(self, posts: Iterable[Post]) -> None:
        """Add live posts, whose hashtags and mentions are sorted and unique."""
        for post in posts:
            self._add(
                "post",
                post.post_id,
                post.user_id,
                post.caption,
                None if post.image is None else folder_and_reference(post.image)[1],
                post.hashtags,
                post.mentions,
                post.like_count,
                post.comment_count,
                post.time,
            )

    def add_follows(self, follows: Iterable[tuple[str, str, int]]) -> None:
        """Add live follows: follower's and followee's id, each already as JSON, and `since`."""
        for follower, followee, since in follows:
            self._add_text(f'["follow",{follower},{followee},{since}]')

    def add_labels(self, labels: Iterable[Label]) -> None:
        """Add standing labels, sorted and unique."""
        for label in labels:
            self._add(
                "label",
                label.subject_kind,
                label.subject_id,
                label.task,
                label.labels,
                label.annotator,
            )

    def hexdigest(self) -> str:
        """32 lower-case hexadecimal digits."""
        return f"{self._sum % 2**128:032x}"

    def _add(self, *item: object) -> None:
        self._add_text(_encode(item))

    def _add_text(self, text: str) -> None:
        digest = blake2b(text.encode(), digest_size=16).digest()
        self._sum += int.from_bytes(digest, "big")


def json_id(identity: str) -> str:
    """An id as the JSON text that `StateDigest.add_follows` takes."""
    return _encode(identity)
