"""A stream of follows in Kafka, and a Neo4j that is emptied before each turn.

The events have 12 partitions and are keyed by follower, as `mmga publish` sends them. The servers
are started for the benchmark alone: a database that somebody uses is never emptied.
"""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.stream.turn import Command, Timeline, timed
from graphdb import open_graph
from ingest.synthetic import write_follow_events
from ingest.synthetic.bad_events import bad_lines
from tests.servers import Server, start_kafka, start_neo4j

if TYPE_CHECKING:
    from neo4j import Driver

NUM_EVENTS = 200_000
NUM_USERS = 50_000
NUM_PARTITIONS = 12
NUM_BAD = 20
OURS = "benchmarks.stream.ingest_worker"
CLEAN, MIXED, WITH_BAD = "clean", "mixed", "bad"
EMPTY = "MATCH (n) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 10000 ROWS"
SELECT_PAIRS = """
MATCH (a:User)-[:FOLLOWS]->(b:User) RETURN collect(a.user_id), collect(b.user_id)"""

Pairs = set[tuple[str, str]]


class FollowStream:
    """The servers, the events of each project, and what the graph must hold at the end."""

    def __init__(self, folder: Path, num_events: int) -> None:
        self.folder = folder
        self.num_events = num_events
        self.kafka: Server
        self.neo4j: Server
        self.events: dict[str, Path] = {}
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
        publish(self.kafka.url, project, path)

    def environ(self, project: str, graph_url: str | None = None) -> dict[str, str]:
        """What a process of ours is given."""
        return {
            "MMGA_HOME": str(self.folder / "home"),
            "MMGA_PROJECT": project,
            "MMGA_EVENTS_URL": self.kafka.url,
            "MMGA_GRAPH_URL": graph_url or self.neo4j.url,
        }

    def ours(self, project: str = CLEAN, *, num_workers: int = 1) -> float:
        """Events a second of our pipeline in processes of its own, into an emptied database."""
        self.empty()
        timeline = self.time([[OURS]] * num_workers, project, num_workers=num_workers)
        self.check(project)
        assert "Deadlock" not in self.log.read_text()
        return timeline.rate

    @property
    def log(self) -> Path:
        """What the processes of the last turn wrote on stderr."""
        return self.folder / "turn.log"

    def time(
        self,
        commands: Sequence[Command],
        project: str = CLEAN,
        *,
        num_events: int | None = None,
        num_workers: int = 0,
        graph_url: str | None = None,
    ) -> Timeline:
        """One turn of processes; so many workers of ours must have shared out the partitions."""
        return timed(
            commands,
            self.environ(project, graph_url),
            self.log,
            num_events=num_events or self.num_events_of(project),
            before=lambda: wait_for_group(self.kafka.url, project, num_workers),
        )

    def num_events_of(self, project: str) -> int:
        """How many messages a project has, bad ones included."""
        return self.num_events + (NUM_BAD if project == WITH_BAD else 0)

    def empty(self) -> None:
        """Empty the database; constraints and indexes stay, or are made."""
        with driver_of(self.neo4j.url) as driver, driver.session() as session:
            session.run(EMPTY).consume()
        open_graph(self.neo4j.url).close()

    def check(self, project: str = CLEAN) -> None:
        """Assert that the graph holds the live follows of a project, and no others."""
        with driver_of(self.neo4j.url) as driver, driver.session() as session:
            followers, followees = session.run(SELECT_PAIRS).single(strict=True)
        assert len(followers) == len(self.pairs[project])
        assert set(zip(followers, followees, strict=True)) == self.pairs[project]


@contextmanager
def follow_stream(folder: Path, num_events: int) -> Iterator[FollowStream]:
    """Servers for the time of a block, without events yet. Raises ServerMissing."""
    stream = FollowStream(folder, num_events)
    stream.kafka = start_kafka(folder / "kafka")
    try:
        stream.neo4j = start_neo4j(folder / "neo4j", heap="1g")
        try:
            yield stream
        finally:
            stream.neo4j.kill()
    finally:
        stream.kafka.kill()


def driver_of(url: str) -> "Driver":
    """The driver itself, for rivals and for checks."""
    from neo4j import GraphDatabase

    from graphdb.neo4j.address import Address

    address = Address.parse(url)
    return GraphDatabase.driver(address.driver_url, auth=address.auth)


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


def publish(url: str, project: str, path: Path) -> None:
    """Send a file as `mmga publish` does, with what cannot be read among the follows."""
    from ingest.kafka.connection import KafkaConnection
    from ingest.kafka.publisher import Publisher
    from ingest.kafka.topics import ensure_topics

    connection = KafkaConnection.of(url, {})
    ensure_topics(connection, project, partitions=NUM_PARTITIONS)
    publisher = Publisher(connection, project, unreadable_to="follows")
    published = publisher.publish(path, lambda *_: None)
    publisher.close()
    assert not published.refused


def wait_for_group(url: str, project: str, num_members: int, seconds: float = 60) -> None:
    """Return when the partitions are shared out among so many workers of a project."""
    from kafka import KafkaAdminClient

    from ingest.kafka.topics import group_name

    if num_members == 0:
        return
    name = group_name(project)
    admin = KafkaAdminClient(bootstrap_servers=url.removeprefix("kafka://"))
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            group = admin.describe_groups([name])[name]
            if group["group_state"] == "Stable" and len(group["members"]) == num_members:
                return
            time.sleep(0.2)
    finally:
        admin.close()
    raise RuntimeError(f"group {name} has not {num_members} members: {group}")
