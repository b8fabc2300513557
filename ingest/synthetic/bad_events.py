"""One bad event of each kind, as producers really send them."""

import json
from typing import Any


def bad_lines() -> list[bytes]:
    """Lines that must each become one dead letter and cost their neighbours nothing."""
    follow = {"follower_id": "user0000", "followee_id": "user0001"}
    post = {
        "post_id": "post-bad",
        "user_id": "user0000",
        "caption": "bad",
        "hashtags": [],
        "mentions": [],
    }
    counts = {"post_id": "post-bad", "like_count": 1, "comment_count": 1}
    whole = json.dumps(_event("follow.created", follow)).encode()
    return [
        whole[: len(whole) // 2],
        whole.replace(b"user0001", b"user\xff\xfe"),
        b"not json at all",
        b"[1, 2, 3]",
        *(
            json.dumps(event).encode()
            for event in (
                _event("story.created", follow),
                {**_event("follow.created", follow), "specversion": "0.3"},
                _event("follow.created", {"follower_id": "user0000"}),
                _event("follow.created", {**follow, "followee_id": 17}),
                _event("follow.created", {**follow, "followee_id": "user0000"}),
                _event("follow.created", {**follow, "followee_id": ""}),
                _event("follow.created", {**follow, "followee_id": "x" * 257}),
                _event("follow.created", {**follow, "followee_id": "tab\there"}),
                _event("follow.created", follow, time="9999-12-31T23:59:59Z"),
                _event("follow.created", follow, time="1969-12-31T23:59:59Z"),
                _event("follow.created", follow, time="2025-03-01T00:00:00"),
                _event("follow.created", follow, time="yesterday"),
                _event("post.engagement", {**counts, "like_count": -1}),
                _event("post.created", {**post, "caption": "NUL \0 inside"}),
                _event("post.created", {**post, "caption": "half a pair \ud83d"}),
                _event("post.created", {**post, "caption": "x" * 65_537}),
                _event("post.created", {**post, "image": 5}),
                _event("user.updated", {"user_id": "user0000", "biography": "nameless"}),
            )
        ),
    ]


def _event(
    kind: str, data: dict[str, Any], *, time: str = "2025-03-01T00:00:00Z"
) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": "bad",
        "source": "/synthetic",
        "type": kind,
        "time": time,
        "data": data,
    }
