"""Lines of a mixed stream: 40 % posts, 40 % follows, 20 % engagement with earlier posts.

Authors and followees have a heavy tail; a post has 2.5 hashtags and 0.3 mentions on average.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

NUM_USERS = 50_000
TAIL_EXPONENT = 2.0
POSTS, FOLLOWS = 0.4, 0.8
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
STEP = timedelta(milliseconds=5)
WORDS = ("sunset", "coffee", "training", "launch", "travel", "garden", "music", "kitchen")


def mixed_lines(seed: int = 0) -> Iterator[bytes]:
    """Lines without end, in order of time."""
    rng = Random(seed)
    num_posts, number = 0, 0
    while True:
        draw = rng.random()
        if draw < POSTS or not num_posts:
            num_posts += 1
            kind, data = "post.created", _post(rng, num_posts)
        elif draw < FOLLOWS:
            kind, data = "follow.created", _follow(rng)
        else:
            post = f"p{1 + int(num_posts * rng.random())}"
            counts = {"like_count": rng.randrange(1_000), "comment_count": rng.randrange(50)}
            kind, data = "post.engagement", {"post_id": post, **counts}
        event = {
            "specversion": "1.0",
            "id": str(number),
            "source": "benchmark",
            "type": kind,
            "time": (FIRST + number * STEP).isoformat(),
            "data": data,
        }
        yield json.dumps(event).encode() + b"\n"
        number += 1


def _user(rng: Random) -> str:
    return f"user{int(NUM_USERS * rng.random() ** TAIL_EXPONENT)}"


def _post(rng: Random, number: int) -> dict[str, Any]:
    return {
        "post_id": f"p{number}",
        "user_id": _user(rng),
        "caption": " ".join(rng.choices(WORDS, k=8)),
        "hashtags": rng.sample(WORDS, rng.randrange(6)),
        "mentions": [_user(rng)] if rng.random() < 0.3 else [],
        "like_count": 0,
        "comment_count": 0,
    }


def _follow(rng: Random) -> dict[str, Any]:
    follower = f"user{rng.randrange(NUM_USERS)}"
    followee = _user(rng)
    return {"follower_id": follower, "followee_id": followee if followee != follower else "user_x"}
