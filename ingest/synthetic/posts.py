"""Events of posts, their counts and follows in bulk, for benchmarks."""

import json
from bisect import bisect
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import accumulate, count
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ingest.synthetic.topics import COMMON_WORDS, TOPICS

FIRST = datetime(2024, 1, 1, tzinfo=UTC)
STEP = timedelta(seconds=5)
NUM_HASHTAGS = 5_000
MEAN_HASHTAGS, MEAN_MENTIONS, MEAN_WORDS = 2.5, 0.3, 14
TAIL_EXPONENT = 3
WORDS = (*COMMON_WORDS, *(word for topic in TOPICS for word in topic.words))

Kind = Literal["post", "engagement", "follow"]
POSTS: Mapping[Kind, float] = {"post": 1.0}
ENGAGEMENT: Mapping[Kind, float] = {"engagement": 1.0}
MIX: Mapping[Kind, float] = {"post": 0.4, "engagement": 0.2, "follow": 0.4}


def write_post_events(
    path: Path,
    *,
    num_events: int,
    num_users: int,
    shares: Mapping[Kind, float],
    num_known_posts: int = 0,
    duplicates: float = 0.02,
    seed: int = 0,
) -> None:
    """Write lines of `post_lines`; the fraction `duplicates` repeats an earlier line instead."""
    rng = np.random.default_rng(seed)
    earlier = (np.arange(num_events) * rng.random(num_events)).astype(int)
    repeats = rng.random(num_events) < duplicates
    fresh = post_lines(
        num_users=num_users, shares=shares, num_known_posts=num_known_posts, seed=seed
    )
    lines: list[bytes] = []
    for row in range(num_events):
        lines.append(lines[earlier[row]] if row and repeats[row] else next(fresh))
    path.write_bytes(b"".join(lines))


def post_lines(
    *, num_users: int, shares: Mapping[Kind, float], num_known_posts: int = 0, seed: int = 0
) -> Iterator[bytes]:
    """Lines without end, in order of time, of kinds by their `shares`.

    Hashtags, mentions, followees and the posts that are counted have a heavy tail.
    `num_known_posts` posts, p0 and so on, are taken to have been written by an earlier file, whose
    times lie before those of this one.
    """
    rng = np.random.default_rng(seed)
    events = _Events(rng, num_users, num_known_posts)
    kinds, bounds = list(shares), list(accumulate(shares.values()))
    for number in count(num_known_posts):
        kind = kinds[bisect(bounds, rng.random() * bounds[-1])]
        yield json.dumps(events.make(kind, number)).encode() + b"\n"


class _Events:
    def __init__(self, rng: np.random.Generator, num_users: int, num_posts: int) -> None:
        self._rng = rng
        self._num_users = num_users
        self._num_posts = num_posts

    def make(self, kind: Kind, number: int) -> dict[str, Any]:
        """One event, of a time by its number; a post where there is none yet to be counted."""
        if kind == "engagement" and not self._num_posts:
            kind = "post"
        facts = {"post": self._post, "engagement": self._engagement, "follow": self._follow}
        subject, verb, data = facts[kind]()
        return {
            "specversion": "1.0",
            "id": f"{kind}-{number}",
            "source": "/instagram",
            "type": f"{kind if kind == 'follow' else 'post'}.{verb}",
            "time": (FIRST + number * STEP).isoformat().replace("+00:00", "Z"),
            "subject": subject,
            "data": data,
        }

    def _post(self) -> tuple[str, str, dict[str, Any]]:
        post_id = f"p{self._num_posts}"
        self._num_posts += 1
        data: dict[str, Any] = {
            "post_id": post_id,
            "user_id": f"u{self._rng.integers(self._num_users)}",
            "caption": " ".join(self._words()),
            "image": f"images/{post_id}.jpg",
            "hashtags": sorted({f"tag{n}" for n in self._tail(NUM_HASHTAGS, MEAN_HASHTAGS)}),
            "mentions": sorted({f"u{n}" for n in self._tail(self._num_users, MEAN_MENTIONS)}),
            **self._counts(),
        }
        return post_id, "created", data

    def _engagement(self) -> tuple[str, str, dict[str, Any]]:
        post_id = f"p{int(self._num_posts * self._rng.random() ** TAIL_EXPONENT)}"
        return post_id, "engagement", {"post_id": post_id, **self._counts()}

    def _follow(self) -> tuple[str, str, dict[str, Any]]:
        follower = int(self._rng.integers(self._num_users))
        followee = int(self._num_users * self._rng.random() ** TAIL_EXPONENT)
        followee = (followee + (followee == follower)) % self._num_users
        ends = {"follower_id": f"u{follower}", "followee_id": f"u{followee}"}
        return ends["follower_id"], "created", ends

    def _counts(self) -> dict[str, int]:
        likes, comments = self._rng.integers(1_000, size=2).tolist()
        return {"like_count": likes, "comment_count": comments}

    def _words(self) -> Iterator[str]:
        for index in self._rng.integers(len(WORDS), size=self._rng.poisson(MEAN_WORDS)):
            yield WORDS[index]

    def _tail(self, size: int, mean: float) -> list[int]:
        draws: list[int] = (
            (size * self._rng.random(self._rng.poisson(mean)) ** TAIL_EXPONENT).astype(int).tolist()
        )
        return draws
