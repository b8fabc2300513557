"""Servers that are broken on purpose, so none that other tests use, and proxies before them."""

import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.faults.bolt_wire import BoltWire, Ledger
from tests.faults.kafka_wire import KafkaWire
from tests.faults.scenario import Scenario, Servers
from tests.faults.tcp_proxy import Proxy
from tests.servers import Server, ServerMissing, start_kafka, start_neo4j, start_redis
from tests.servers.fixtures import QUICK_START
from tests.servers.report import TESTED
from tests.servers.server import free_port

REQUIRED = os.environ.get("MMGA_REQUIRE_SERVERS") == "1"
KAFKA_SETTINGS = """\
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
group.min.session.timeout.ms=500
"""
NUMBERS = count()


def own(start: Callable[[], Server]) -> Server:
    """A server of these tests alone; skips, or fails where servers are required."""
    try:
        server = start()
    except ServerMissing as missing:
        if REQUIRED:
            pytest.fail(str(missing), pytrace=False)
        pytest.skip(str(missing))
    TESTED[server.name].version = server.version
    return server


@pytest.fixture(scope="package")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Neo4j and Kafka, each with a proxy; Kafka names the proxy's address as its own."""
    folder = tmp_path_factory.mktemp("servers")
    quick = pytest.MonkeyPatch()
    quick.setenv("JAVA_TOOL_OPTIONS", QUICK_START)
    ledger = Ledger()
    port = free_port()
    kafka_proxy = Proxy(port, KafkaWire)
    kafka = own(
        lambda: start_kafka(
            folder / "kafka", port=port, settings=KAFKA_SETTINGS.format(port=kafka_proxy.port)
        )
    )
    neo4j = own(lambda: start_neo4j(folder / "neo4j", heap="512m"))
    graph_proxy = Proxy(neo4j.port, lambda: BoltWire(ledger))
    yield Servers(
        neo4j=neo4j,
        kafka=kafka,
        graph_proxy=graph_proxy,
        kafka_proxy=kafka_proxy,
        ledger=ledger,
        registry_url=f"sqlite:///{folder / 'registry.db'}",
    )
    for proxy in (graph_proxy, kafka_proxy):
        proxy.close()
    for server in (neo4j, kafka):
        server.kill()
    quick.undo()


@pytest.fixture(scope="package")
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Redis of these tests alone."""
    folder = tmp_path_factory.mktemp("redis")
    server = own(lambda: start_redis(folder))
    yield server
    server.kill()


@pytest.fixture
def scenario(servers: Servers, tmp_path: Path) -> Iterator[Scenario]:
    """A project of its own on an empty graph."""
    made = Scenario(servers, tmp_path, f"fault{next(NUMBERS)}")
    yield made
    made.close()
