"""Events in Kafka, and a Neo4j that is emptied before each turn.

The events have 12 partitions and are keyed as `mmga publish` keys them. The servers are started
for the benchmark alone: a database that somebody uses is never emptied.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.stream.turn import Command, Timeline, timed
from graphdb import open_graph
from tests.servers import Server, start_kafka, start_neo4j

if TYPE_CHECKING:
    from neo4j import Driver

NUM_PARTITIONS = 12
OURS = "benchmarks.stream.ingest_worker"
EMPTY = "MATCH (n) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 10000 ROWS"


class EventStream(ABC):
    """The servers, the events of each project, and what the graph must hold at the end."""

    def __init__(self, folder: Path, kafka: Server, neo4j: Server) -> None:
        self.folder = folder
        self.kafka = kafka
        self.neo4j = neo4j
        self.events: dict[str, Path] = {}

    @abstractmethod
    def num_events_of(self, project: str) -> int:
        """How many messages a project has, bad ones included."""

    @abstractmethod
    def check(self, project: str) -> None:
        """Assert that the graph holds what the events of a project say, and nothing else."""

    def environ(self, project: str, graph_url: str | None = None) -> dict[str, str]:
        """What a process of ours is given."""
        return {
            "MMGA_HOME": str(self.folder / "home"),
            "MMGA_PROJECT": project,
            "MMGA_EVENTS_URL": self.kafka.url,
            "MMGA_GRAPH_URL": graph_url or self.neo4j.url,
        }

    def ours(self, project: str, *, num_workers: int = 1) -> float:
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
        project: str,
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

    def empty(self) -> None:
        """Empty the database; constraints and indexes stay, or are made."""
        with driver_of(self.neo4j.url) as driver, driver.session() as session:
            session.run(EMPTY).consume()
        open_graph(self.neo4j.url).close()


@contextmanager
def kafka_and_neo4j(folder: Path) -> Iterator[tuple[Server, Server]]:
    """Servers for the time of a block. Raises ServerMissing."""
    kafka = start_kafka(folder / "kafka")
    try:
        neo4j = start_neo4j(folder / "neo4j", heap="1g")
        try:
            yield kafka, neo4j
        finally:
            neo4j.kill()
    finally:
        kafka.kill()


def driver_of(url: str) -> "Driver":
    """The driver itself, for rivals and for checks."""
    from neo4j import GraphDatabase

    from graphdb.neo4j.address import Address

    address = Address.parse(url)
    return GraphDatabase.driver(
        address.driver_url, auth=address.auth, notifications_min_severity="OFF"
    )


def publish(url: str, project: str, path: Path, *, unreadable_to: str | None = None) -> None:
    """Send a file as `mmga publish` does, and what cannot be read to the topic named."""
    from ingest.kafka.connection import KafkaConnection
    from ingest.kafka.publisher import Publisher
    from ingest.kafka.topics import ensure_topics

    connection = KafkaConnection.of(url, {})
    ensure_topics(connection, project, partitions=NUM_PARTITIONS)
    publisher = Publisher(connection, project, unreadable_to=unreadable_to)
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
