"""Streams of posts, of their counts, and of these mixed with follows."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.stream.event_stream import (
    OURS,
    EventStream,
    driver_of,
    kafka_and_neo4j,
    publish,
)
from benchmarks.stream.turn import Command
from ingest.synthetic.posts import ENGAGEMENT, MIX, POSTS, Kind, write_post_events
from tests.servers import Server

if TYPE_CHECKING:
    from neo4j import Session

NUM_EVENTS = 60_000
NUM_USERS = 20_000
SHARES: Mapping[str, Mapping[Kind, float]] = {"posts": POSTS, "engagement": ENGAGEMENT, "mix": MIX}
# As if the counts of all posts had been read long ago.
FORGET_COUNTS = """
MATCH (p:Post) SET p.like_count = 0, p.like_time = 0, p.like_tie = 0, p.comment_count = 0,
    p.comment_time = 0, p.comment_tie = 0, p.counted = ''"""
FORGET_PROGRESS = "MATCH (n:Position|Change) DELETE n"
SELECT_POSTS = """
MATCH (u:User)-[:POSTED]->(p:Post)
RETURN collect([p.post_id, u.user_id, p.caption, p.image,
    COLLECT { MATCH (p)-[:TAGGED]->(h) RETURN h.name ORDER BY h.name },
    COLLECT { MATCH (p)-[:MENTIONS]->(m) RETURN m.user_id ORDER BY m.user_id },
    p.like_count, p.comment_count])"""
COUNT_FOLLOWS = "RETURN COUNT { ()-[:FOLLOWS]->() }"

FORGOTTEN = [0, 0]
"""Counts of posts that no engagement has named since."""

Row = list[Any]


class PostStream(EventStream):
    """The events of each share; those of engagement are about the posts of `posts`."""

    def __init__(self, folder: Path, kafka: Server, neo4j: Server, num_events: int) -> None:
        super().__init__(folder, kafka, neo4j)
        self.num_events = num_events
        num_posts = 0
        for seed, (project, shares) in enumerate(SHARES.items()):
            path = folder / f"{project}.jsonl"
            write_post_events(
                path,
                num_events=num_events,
                num_users=NUM_USERS,
                shares=shares,
                num_known_posts=num_posts if shares is ENGAGEMENT else 0,
                # The loop has no rule of the newest: an older count again would be the last.
                duplicates=0.02 if shares is POSTS else 0.0,
                seed=seed,
            )
            self.events[project] = path
            num_posts = num_posts or len(posts_after(path))
            publish(self.kafka.url, project, path)

    def num_events_of(self, project: str) -> int:
        """See EventStream."""
        return self.num_events

    def ours(self, project: str, *, num_workers: int = 1) -> float:
        """See EventStream."""
        return self.turn([OURS], project, num_workers=num_workers)

    def turn(self, command: Command, project: str, *, num_workers: int = 0) -> float:
        """Events a second of one contender, on what it is to begin with."""
        self.prepare(project)
        rate = self.time([command] * (num_workers or 1), project, num_workers=num_workers).rate
        self.check(project)
        return rate

    def prepare(self, project: str) -> None:
        """An empty database; for engagement one that holds the posts, whose counts are old."""
        with driver_of(self.neo4j.url) as driver, driver.session() as session:
            if project == "engagement" and self._holds_posts(session):
                session.run(FORGET_COUNTS).consume()
                session.run(FORGET_PROGRESS).consume()
                return
        self.empty()
        if project == "engagement":
            self.time([[OURS]], "posts", num_workers=1)
            self.prepare(project)

    def _holds_posts(self, session: "Session") -> bool:
        (rows,) = session.run(SELECT_POSTS).single(strict=True)
        posts = posts_after(self.events["posts"])
        return {row[0] for row in rows} == posts.keys()

    def check(self, project: str) -> None:
        """See EventStream; of follows only the number."""
        expected = posts_after(self.events[project])
        if project == "engagement":
            counts = newest_counts(self.events[project])
            expected = {
                post_id: [*row[:-2], *counts.get(post_id, FORGOTTEN)]
                for post_id, row in posts_after(self.events["posts"]).items()
            }
        with driver_of(self.neo4j.url) as driver, driver.session() as session:
            (rows,) = session.run(SELECT_POSTS).single(strict=True)
            (num_follows,) = session.run(COUNT_FOLLOWS).single(strict=True)
        assert {row[0]: row[1:] for row in rows} == expected
        assert num_follows == len(pairs_of(self.events[project]))


@contextmanager
def post_stream(folder: Path, num_events: int) -> Iterator[PostStream]:
    """Servers and events for the time of a block. Raises ServerMissing."""
    with kafka_and_neo4j(folder) as (kafka, neo4j):
        yield PostStream(folder, kafka, neo4j, num_events)


def posts_after(path: Path) -> dict[str, Row]:
    """The posts that stand after these events."""
    counts = newest_counts(path)
    return {
        data["post_id"]: [
            *(data[name] for name in ("user_id", "caption", "image", "hashtags", "mentions")),
            *counts[data["post_id"]],
        ]
        for data in (e["data"] for e in events_of(path) if e["type"] == "post.created")
    }


def newest_counts(path: Path) -> dict[str, list[int]]:
    """Likes and comments of each post that the events name."""
    newest: dict[str, tuple[str, list[int]]] = {}
    for event in events_of(path):
        if event["type"].startswith("post."):
            data = event["data"]
            counts = (event["time"], [data["like_count"], data["comment_count"]])
            newest[data["post_id"]] = max(newest.get(data["post_id"], counts), counts)
    return {post_id: counts for post_id, (_, counts) in newest.items()}


def pairs_of(path: Path) -> set[tuple[str, str]]:
    """The pairs of the follows among the events."""
    return {
        (event["data"]["follower_id"], event["data"]["followee_id"])
        for event in events_of(path)
        if event["type"] == "follow.created"
    }


def events_of(path: Path) -> Iterator[dict[str, Any]]:
    """The events of a file."""
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)
