"""Events made for tests."""

import json
from typing import Any

NOW = 1_790_000_000_000_000
TIME = "2026-01-02T03:04:05.678901Z"
TIME_US = 1_767_323_045_678_901

PROFILE = {"user_id": "ann", "username": "ann.a"}
POST = {"post_id": "p1", "user_id": "ann", "caption": "hi", "hashtags": [], "mentions": []}
COUNTS = {"post_id": "p1", "like_count": 3, "comment_count": 0}
FOLLOW = {"follower_id": "ann", "followee_id": "bob"}
USER_LABEL = {"user_id": "ann", "task": "topic", "labels": ["a", "b"]}
POST_LABEL = {"post_id": "p1", "task": "tone", "labels": []}

DATA: dict[str, dict[str, Any]] = {
    "user.updated": PROFILE,
    "user.deleted": {"user_id": "ann"},
    "post.created": POST,
    "post.engagement": COUNTS,
    "post.deleted": {"post_id": "p1"},
    "follow.created": FOLLOW,
    "follow.deleted": FOLLOW,
    "user.labeled": USER_LABEL,
    "post.labeled": POST_LABEL,
}


def event(kind: str = "follow.created", /, **changes: Any) -> dict[str, Any]:
    """A valid event; keywords replace its attributes, and those of `data` where given so."""
    data = {**DATA.get(kind, {}), **changes.pop("data", {})}
    return {
        "specversion": "1.0",
        "id": "e1",
        "source": "/test",
        "type": kind,
        "time": TIME,
        "data": data,
        **changes,
    }


def line(kind: str = "follow.created", /, **changes: Any) -> bytes:
    """The event as bytes."""
    return json.dumps(event(kind, **changes)).encode()


def without(kind: str, *names: str) -> bytes:
    """A valid event that lacks fields of `data`."""
    made = event(kind)
    for name in names:
        del made["data"][name]
    return json.dumps(made).encode()


def follow_lines(number: int, *, first: int = 0) -> list[bytes]:
    """Distinct valid follows."""
    return [
        line(id=f"e{index}", data={"follower_id": f"u{index}", "followee_id": f"v{index % 7}"})
        for index in range(first, first + number)
    ]
