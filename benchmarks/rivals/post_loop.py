"""A loop that upserts posts, their counts and follows from memory into Neo4j, with no guarantee.

    python -m benchmarks.rivals.post_loop NEO4J_URL EVENTS_FILE [--new]

Batches of 10,000 events in columns; for posts five statements a batch: users, posts, authors,
hashtags, mentions. `--new` creates the posts, as one may who knows that no event comes twice.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from neo4j import ManagedTransaction

from benchmarks.rivals.plain_merge import MERGE as MERGE_FOLLOWS
from benchmarks.stream.event_stream import driver_of
from benchmarks.stream.turn import begin, committed

EVENTS_AT_ONCE = 10_000
MERGE_USERS = "UNWIND $ids AS id MERGE (:User {user_id: id})"
MERGE_POSTS = """
UNWIND range(0, size($ids) - 1) AS i
MERGE (p:Post {post_id: $ids[i]})
SET p.time = $times[i], p.caption = $captions[i], p.image = $images[i],
    p.like_count = $like_counts[i], p.comment_count = $comment_counts[i]"""
CREATE_POSTS = """
UNWIND range(0, size($ids) - 1) AS i
CREATE (:Post {post_id: $ids[i], time: $times[i], caption: $captions[i], image: $images[i],
    like_count: $like_counts[i], comment_count: $comment_counts[i]})"""
MERGE_AUTHORS = """
UNWIND range(0, size($ids) - 1) AS i
MATCH (p:Post {post_id: $ids[i]})
MATCH (u:User {user_id: $authors[i]})
MERGE (u)-[:POSTED]->(p)"""
MERGE_HASHTAGS = """
UNWIND range(0, size($ids) - 1) AS i
MATCH (p:Post {post_id: $ids[i]})
MERGE (h:Hashtag {name: $names[i]})
MERGE (p)-[:TAGGED]->(h)"""
MERGE_MENTIONS = """
UNWIND range(0, size($ids) - 1) AS i
MATCH (p:Post {post_id: $ids[i]})
MATCH (u:User {user_id: $users[i]})
MERGE (p)-[:MENTIONS]->(u)"""
MERGE_COUNTS = """
UNWIND range(0, size($ids) - 1) AS i
MERGE (p:Post {post_id: $ids[i]})
SET p.like_count = $like_counts[i], p.comment_count = $comment_counts[i], p.counted = $times[i]"""

Statement = tuple[str, dict[str, list[Any]]]


def run(neo4j_url: str, path: Path, *, new: bool) -> None:
    """Load the file, then send it."""
    seen: set[str] = set()
    batches = []
    for events in batches_of(path):
        fresh = events if not new else [each for each in events if each["id"] not in seen]
        seen.update(each["id"] for each in events)
        sent = [each for each in statements(fresh, new=new) if any(each[1].values())]
        batches.append((len(events), sent))
    with driver_of(neo4j_url) as driver, driver.session() as session:
        session.run("RETURN 1").consume()
        begin()
        for num_events, batch in batches:
            session.execute_write(send, batch)
            committed(num_events)


def send(transaction: ManagedTransaction, batch: list[Statement]) -> None:
    """Send one batch."""
    for statement, columns in batch:
        transaction.run(statement, columns)


def batches_of(path: Path) -> Iterator[list[dict[str, Any]]]:
    """The events, parsed, 10,000 at once."""
    with path.open(encoding="utf-8") as lines:
        events = [json.loads(line) for line in lines]
    for first in range(0, len(events), EVENTS_AT_ONCE):
        yield events[first : first + EVENTS_AT_ONCE]


def statements(events: list[dict[str, Any]], *, new: bool) -> Iterator[Statement]:
    """The statements of a batch with their columns."""
    posts = of_type(events, "post.created")
    if new:
        posts = list({event["id"]: event for event in posts}.values())
    data = [event["data"] for event in posts]
    tags = [(each["post_id"], name) for each in data for name in each["hashtags"]]
    mentions = [(each["post_id"], user) for each in data for user in each["mentions"]]
    users = {each["user_id"] for each in data} | {user for _, user in mentions}
    yield MERGE_USERS, {"ids": sorted(users)}
    yield (
        CREATE_POSTS if new else MERGE_POSTS,
        counts(posts)
        | {
            "captions": [each["caption"] for each in data],
            "images": [each["image"] for each in data],
        },
    )
    yield (
        MERGE_AUTHORS,
        {
            "ids": [each["post_id"] for each in data],
            "authors": [each["user_id"] for each in data],
        },
    )
    yield MERGE_HASHTAGS, {"ids": [post for post, _ in tags], "names": [name for _, name in tags]}
    yield (
        MERGE_MENTIONS,
        {
            "ids": [post for post, _ in mentions],
            "users": [user for _, user in mentions],
        },
    )
    yield MERGE_COUNTS, counts(of_type(events, "post.engagement"))
    follows = of_type(events, "follow.created")
    yield (
        MERGE_FOLLOWS,
        {
            "followers": [event["data"]["follower_id"] for event in follows],
            "followees": [event["data"]["followee_id"] for event in follows],
            "times": [event["time"] for event in follows],
        },
    )


def of_type(events: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """The events of one type."""
    return [event for event in events if event["type"] == name]


def counts(events: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """The columns that posts and their counts have in common."""
    return {
        "ids": [event["data"]["post_id"] for event in events],
        "times": [event["time"] for event in events],
        "like_counts": [event["data"]["like_count"] for event in events],
        "comment_counts": [event["data"]["comment_count"] for event in events],
    }


if __name__ == "__main__":
    run(sys.argv[1], Path(sys.argv[2]), new=sys.argv[3:] == ["--new"])
