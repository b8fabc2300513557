"""Events that disturb one another: all types, twice, late, in any order, some of them bad."""

import json
import random
import time
from typing import Any

from graphdb.store import GraphCounts
from ingest.events.decoding import decode
from ingest.synthetic.bad_events import bad_lines
from tests.graphdb import specification
from tests.graphdb.specification import GraphState, facts_of, graph_state

NUM_USERS = 60
NUM_POSTS = 150
NUM_MOMENTS = 5_000
DUPLICATED = 0.05
EPOCH = 1_770_000_000
WEIGHTS = {
    "follow.created": 45,
    "follow.deleted": 10,
    "post.created": 14,
    "post.engagement": 10,
    "user.updated": 10,
    "user.labeled": 4,
    "post.labeled": 4,
    "post.deleted": 2,
    "user.deleted": 1,
}


def make_events(number: int, seed: int) -> list[bytes]:
    """So many distinct events of all types, some of them again, and one bad one of each kind.

    Their times are in no order. The same arguments make the same bytes.
    """
    rng = random.Random(seed)
    kinds = rng.choices(list(WEIGHTS), list(WEIGHTS.values()), k=number)
    lines = [_line(kind, f"{seed}-{index}", rng) for index, kind in enumerate(kinds)]
    lines += rng.sample(lines, int(number * DUPLICATED))
    lines += bad_lines()
    rng.shuffle(lines)
    return lines


def state_of(lines: list[bytes]) -> GraphState:
    """What a set of events means, whatever their order."""
    decoded = decode(lines, time.time_ns() // 1000)
    return graph_state(facts_of(decoded.batch()))


def bad_of(lines: list[bytes]) -> list[bytes]:
    """Those that are no valid events."""
    rejected = decode(lines, time.time_ns() // 1000).rejected
    return [lines[index] for index, _ in rejected]


def digest_of(state: GraphState) -> tuple[str, GraphCounts]:
    """What graphs with this state answer."""
    return specification.digest(state), specification.counts(state)


def _line(kind: str, event_id: str, rng: random.Random) -> bytes:
    seconds = EPOCH + rng.randrange(NUM_MOMENTS)
    event = {
        "specversion": "1.0",
        "id": event_id,
        "source": "/faults",
        "type": kind,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds)),
        "data": _data(kind, rng),
    }
    return json.dumps(event).encode()


def _data(kind: str, rng: random.Random) -> dict[str, Any]:
    follower, followee = rng.sample(range(NUM_USERS), 2)
    user_id = f"user{follower}"
    post = rng.randrange(NUM_POSTS)
    post_id, author = f"post{post}", f"user{post % NUM_USERS}"
    counts = {"like_count": rng.randrange(100), "comment_count": rng.randrange(20)}
    label = {"task": rng.choice(["topic", "mood"]), "labels": rng.choice([[], ["a"], ["a", "b"]])}
    data: dict[str, dict[str, Any]] = {
        "follow.created": {"follower_id": user_id, "followee_id": f"user{followee}"},
        "follow.deleted": {"follower_id": user_id, "followee_id": f"user{followee}"},
        "post.created": {
            "post_id": post_id,
            "user_id": author,
            "caption": rng.choice(["", "sun", "Ä 😀"]),
            "hashtags": rng.sample(["sea", "sun", "café"], rng.randrange(3)),
            "mentions": [f"user{followee}", "someone_else"][: rng.randrange(3)],
            **(counts if rng.random() < 0.5 else {}),
        },
        "post.engagement": {"post_id": post_id, **counts},
        "post.deleted": {"post_id": post_id},
        "user.updated": {
            "user_id": user_id,
            "username": f"name{rng.randrange(9)}",
            "follower_count": rng.randrange(1000),
        },
        "user.deleted": {"user_id": user_id},
        "user.labeled": {"user_id": user_id, **label},
        "post.labeled": {"post_id": post_id, **label},
    }
    return data[kind]
