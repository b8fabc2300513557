"""One test's project on the servers: its topics, its home, its workers, and what it must end in."""

import random
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from neo4j import GraphDatabase
from numpy.typing import NDArray

from featurestore.definitions import USER_ACTIVITY
from featurestore.feast_adapter.registry import FeatureRegistry
from featurestore.history import History
from featurestore.online.open import open_online_store
from featurestore.online.store import OnlineStore
from featurestore.settings import FeatureStoreSettings
from graphdb import open_graph
from graphdb.statistics import STATISTICS
from ingest.kafka.connection import KafkaConnection
from ingest.kafka.dead_letters import KafkaDeadLetters
from ingest.kafka.publisher import route
from ingest.kafka.topics import (
    create_topics,
    dead_letter_topic,
    event_topics,
    group_name,
    topic_name,
    topic_of,
)
from ingest.statistics.consumer import StatisticsConsumer
from ingest.statistics.projection import STAGE
from tests.faults.bolt_wire import Ledger
from tests.faults.event_set import bad_of, digest_of, state_of
from tests.faults.tcp_proxy import Proxy
from tests.faults.worker import Worker, wait_until
from tests.servers import Server
from tests.servers.neo4j import PASSWORD
from tests.servers.server import LOOPBACK

PARTITIONS = 12
MISDIRECTED = 0.2
"""How many events a producer keys as it should not."""
BATCH_SIZE = 80
IMPATIENT = {
    "MMGA_KAFKA_SESSION_TIMEOUT_MS": "1500",
    "MMGA_KAFKA_HEARTBEAT_INTERVAL_MS": "300",
}
"""So that the partitions of a dead worker are given away soon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """The servers, the proxies before them, and the registry that all projects share."""

    neo4j: Server
    kafka: Server
    graph_proxy: Proxy
    kafka_proxy: Proxy
    ledger: Ledger
    registry_url: str

    @property
    def proxied_graph_url(self) -> str:
        """bolt://, since neo4j:// leads clients to the address that the server names itself."""
        return f"bolt://neo4j:{PASSWORD}@{LOOPBACK}:{self.graph_proxy.port}/neo4j"


class Scenario:
    """An empty graph and new topics; workers that read them; the state that they must end in."""

    def __init__(self, servers: Servers, folder: Path, project: str) -> None:
        self.servers = servers
        self.project = project
        self.home = folder / "home"
        self.published: list[bytes] = []
        self._folder = folder
        self._rng = random.Random(project)
        self._ends: dict[tuple[str, int], int] = {}
        self._numbers = count()
        self._opened = ExitStack()
        self._online: OnlineStore | None = None
        self.environ = {
            "MMGA_HOME": str(self.home),
            "MMGA_PROJECT": project,
            "MMGA_GRAPH_URL": servers.proxied_graph_url,
            "MMGA_EVENTS_URL": servers.kafka.url,
            "MMGA_REGISTRY_URL": servers.registry_url,
            **IMPATIENT,
        }
        empty_graph(servers.neo4j.url)
        servers.ledger.clear()
        self.graph = self._opened.enter_context(closing(open_graph(servers.neo4j.url)))
        self.connection = KafkaConnection.of(servers.kafka.url, {})
        create_topics(self.connection, event_topics(project), partitions=PARTITIONS)
        FeatureRegistry(self.features).apply_statistics(STATISTICS)

    @property
    def features(self) -> FeatureStoreSettings:
        """Where the workers' features lie."""
        return FeatureStoreSettings.from_environ(self.environ)

    def publish(self, lines: Sequence[bytes]) -> None:
        """Send events as a careless producer does: some of them under another key."""
        producer = self.connection.producer(linger_ms=5)
        sent = []
        for line in lines:
            kind, key = route(line) or ("follows", None)
            if self._rng.random() < MISDIRECTED:
                key = str(self._rng.random()).encode()
            sent.append(producer.send(topic_name(self.project, kind), line, key=key))
        producer.flush(timeout=60)
        for each in sent:
            place = each.get()
            partition = (place.topic, place.partition)
            self._ends[partition] = max(self._ends.get(partition, 0), place.offset + 1)
        producer.close()
        self.published += lines

    def start_worker(self, *arguments: str, **environ: str) -> Worker:
        """Start one more worker; its log is its own."""
        self.home.mkdir(exist_ok=True)
        log = self._folder / f"worker{next(self._numbers)}.log"
        words = ["--batch-size", str(BATCH_SIZE), *arguments]  # the last one wins
        worker = Worker({**self.environ, **environ}, log, *words)
        self._opened.callback(worker.close)
        return worker

    def num_read(self) -> int:
        """How many messages the graph's positions have passed."""
        return sum(self._positions().values())

    def num_members(self) -> int:
        """How many workers share the partitions; 0 while they are being shared out."""
        group = group_name(self.project)
        with self.connection.admin() as admin:
            found = admin.describe_groups([group])[group]
        return len(found["members"]) if found["group_state"] == "Stable" else 0

    def are_all_read(self) -> bool:
        """Whether all that was published is in the graph."""
        return self._positions() == self._ends

    def is_caught_up(self) -> bool:
        """Whether all that was published is in the graph, and the features are up to date."""
        return self.are_all_read() and self._are_features_current()

    def finish(self, *workers: Worker, seconds: float = 90.0) -> None:
        """Let the workers catch up, end them in good order, and check all that they leave."""
        wait_until(self.is_caught_up, seconds, *workers)
        for worker in workers:
            worker.terminate()
        self.assert_exact()

    def assert_exact(self) -> None:
        """The state is that of the set of events, and each of them was applied once."""
        state = state_of(self.published)
        assert (self.graph.digest(), self.graph.counts()) == digest_of(state)
        assert self._positions() == self._ends
        for key, offsets in self.servers.ledger.moves().items():
            assert len(set(offsets)) == len(offsets), f"{key} was moved twice to one place"
        self.assert_letters()
        self.assert_features()

    def assert_letters(self) -> None:
        """The dead letters are the bad events, each once, and no others."""
        letters = KafkaDeadLetters(self.connection, self.project, days=1)
        with closing(letters):
            kept = Counter(letter.payload.content for letter in letters.read())
        assert kept == Counter(bad_of(self.published))

    def assert_features(self) -> None:
        """The features are those that a projection from scratch makes of the same graph."""
        settings = FeatureStoreSettings.at(
            self._folder / f"scratch{next(self._numbers)}",
            project=self.project,
            registry_url=self.servers.registry_url,
        )
        settings.home.mkdir()
        with closing(open_online_store(settings)) as scratch:
            registry, history = FeatureRegistry(settings), History(settings)
            StatisticsConsumer(
                self.graph, scratch, history, registry, home=settings.home
            ).catch_up()
            users, expected = read_features(scratch)
            assert users == self.graph.user_ids()
        found_users, found = read_features(self.online)
        assert found_users == users
        np.testing.assert_array_equal(found, expected)

    @property
    def online(self) -> OnlineStore:
        """What the workers write their features to."""
        if self._online is None:
            online = open_online_store(self.features)
            self._online = self._opened.enter_context(closing(online))
        return self._online

    def close(self) -> None:
        """End the workers, and delete the topics."""
        self.servers.graph_proxy.rule = self.servers.kafka_proxy.rule = lambda _: True
        self.servers.graph_proxy.go_on()
        self._opened.close()
        topics = event_topics(self.project)
        with self.connection.admin() as admin:
            present = set(admin.list_topics())
            letters = [dead_letter_topic(topic) for topic in topics]
            admin.delete_topics([each for each in (*topics, *letters) if each in present])

    def _positions(self) -> dict[tuple[str, int], int]:
        return {
            (topic_of(each.source), each.partition): each.offset
            for each in self.graph.positions()
            if each.offset
        }

    def _are_features_current(self) -> bool:
        mark, head = self.online.watermark(STAGE), self.graph.head()
        return mark is not None and (mark.graph_id, mark.version) == (
            self.graph.graph_id,
            head.version,
        )


def read_features(online: OnlineStore) -> tuple[list[str], NDArray[Any]]:
    """All users that have statistics, ascending, and their statistics (N, X)."""
    users = sorted(user for page in online.user_ids(USER_ACTIVITY) for user in page)
    rows = online.read(USER_ACTIVITY, users, STATISTICS)
    assert rows.present.all()
    return users, np.stack([rows.features[name] for name in STATISTICS], axis=1)


def empty_graph(url: str) -> None:
    """Delete all nodes of a database; its schema stays."""
    with GraphDatabase.driver(
        f"bolt://{url.rpartition('@')[2].partition('/')[0]}", auth=("neo4j", PASSWORD)
    ) as driver:
        driver.execute_query("MATCH (n) DETACH DELETE n")
