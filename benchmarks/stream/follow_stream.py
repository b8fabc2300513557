"""A stream of follows, with those that bad events stand between and those that end."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path

from benchmarks.stream.event_stream import (
    EventStream,
    driver_of,
    kafka_and_neo4j,
    publish,
)
from ingest.synthetic import write_follow_events
from ingest.synthetic.bad_events import bad_lines
from tests.servers import Server

NUM_EVENTS = 200_000
NUM_USERS = 50_000
NUM_BAD = 20
CLEAN, MIXED, WITH_BAD = "clean", "mixed", "bad"
SELECT_PAIRS = """
MATCH (a:User)-[:FOLLOWS]->(b:User) RETURN collect(a.user_id), collect(b.user_id)"""

Pairs = set[tuple[str, str]]


class FollowStream(EventStream):
    """Follows of each project, and the pairs that must be live at the end."""

    def __init__(self, folder: Path, kafka: Server, neo4j: Server, num_events: int) -> None:
        super().__init__(folder, kafka, neo4j)
        self.num_events = num_events
        self.pairs: dict[str, Pairs] = {}

    def make(self, project: str, *, unfollows: float = 0.0, num_bad: int = 0) -> None:
        """Write the events of a project and publish them."""
        path = self.folder / f"{project}.jsonl"
        write_follow_events(
            path,
            num_events=self.num_events,
            num_users=NUM_USERS,
            duplicates=0.05,
            unfollows=unfollows,
            seed=0,
        )
        self.pairs[project] = live_pairs(path)
        if num_bad:
            spoil(path, num_bad)
        self.events[project] = path
        publish(self.kafka.url, project, path, unreadable_to="follows")

    def num_events_of(self, project: str) -> int:
        """How many messages a project has, bad ones included."""
        return self.num_events + (NUM_BAD if project == WITH_BAD else 0)

    def check(self, project: str) -> None:
        """Assert that the graph holds the live follows of a project, and no others."""
        with driver_of(self.neo4j.url) as driver, driver.session() as session:
            followers, followees = session.run(SELECT_PAIRS).single(strict=True)
        assert len(followers) == len(self.pairs[project])
        assert set(zip(followers, followees, strict=True)) == self.pairs[project]


@contextmanager
def follow_stream(folder: Path, num_events: int) -> Iterator[FollowStream]:
    """Servers for the time of a block, without events yet. Raises ServerMissing."""
    with kafka_and_neo4j(folder) as (kafka, neo4j):
        yield FollowStream(folder, kafka, neo4j, num_events)


def live_pairs(events: Path) -> Pairs:
    """The follows that are live by the rule of the newest."""
    newest: dict[tuple[str, str], tuple[str, bool]] = {}
    with events.open(encoding="utf-8") as lines:
        for line in lines:
            event = json.loads(line)
            pair = (event["data"]["follower_id"], event["data"]["followee_id"])
            state = (event["time"], event["type"] == "follow.deleted")
            newest[pair] = max(state, newest.get(pair, state))
    return {pair for pair, (_, is_over) in newest.items() if not is_over}


def spoil(path: Path, num_bad: int) -> None:
    """Put lines that are no valid events between the others, at equal distances.

    Of the kinds that there are, those that belong to the topic of follows.
    """
    kinds = [line for line in bad_lines() if b'"type": "post' not in line and b"user." not in line]
    lines = path.read_bytes().splitlines()
    step = len(lines) // num_bad
    for index, line in enumerate(islice(cycle(kinds), num_bad)):
        lines.insert(index * (step + 1) + step // 2, line)
    path.write_bytes(b"\n".join(lines) + b"\n")
