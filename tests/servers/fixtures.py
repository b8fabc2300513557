"""Fixtures: each server once a test session, and what a machine that lacks one does without.

A variable such as MMGA_TEST_KAFKA_URL names a running server instead. Where a server cannot be had
its tests are skipped, and counted at the end; MMGA_REQUIRE_SERVERS=1 makes its absence a failure.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.servers import kafka, neo4j, postgres, redis
from tests.servers.report import TESTED
from tests.servers.server import Server, ServerMissing

REQUIRED = os.environ.get("MMGA_REQUIRE_SERVERS") == "1"

QUICK_START = "-XX:TieredStopAtLevel=1"
"""Java without its second compiler, which costs servers of tests more than they live to gain."""


@contextmanager
def quick_start() -> Iterator[None]:
    """Start Java servers in the block so."""
    with pytest.MonkeyPatch.context() as environ:
        environ.setenv("JAVA_TOOL_OPTIONS", QUICK_START)
        yield


@pytest.fixture(scope="session")
def neo4j_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Neo4j, the version with long-term support."""
    folder = tmp_path_factory.mktemp("neo4j")
    yield from _serve(
        neo4j.NAME, "MMGA_TEST_NEO4J_URL", neo4j.ask_version, lambda: neo4j.start_neo4j(folder)
    )


@pytest.fixture(scope="session")
def neo4j_calendar_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Neo4j, the newest release by date, where a Java that it needs is found."""
    folder = tmp_path_factory.mktemp("neo4j_calendar")
    yield from _serve(
        neo4j.CALENDAR_NAME,
        "MMGA_TEST_NEO4J_CALENDAR_URL",
        neo4j.ask_version,
        lambda: neo4j.start_neo4j(folder, version=neo4j.CALENDAR),
    )


@pytest.fixture(scope="session")
def kafka_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One Kafka broker."""
    folder = tmp_path_factory.mktemp("kafka")
    yield from _serve(
        kafka.NAME, "MMGA_TEST_KAFKA_URL", kafka.ask_version, lambda: kafka.start_kafka(folder)
    )


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Redis with a password and an append-only file."""
    folder = tmp_path_factory.mktemp("redis")
    yield from _serve(
        redis.NAME, "MMGA_TEST_REDIS_URL", redis.ask_version, lambda: redis.start_redis(folder)
    )


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """PostgreSQL with an empty database."""
    with TemporaryDirectory(prefix="mmga-postgres-") as folder:
        yield from _serve(
            postgres.NAME,
            "MMGA_TEST_POSTGRES_URL",
            postgres.ask_version,
            lambda: postgres.start_postgres(Path(folder)),
        )


def _serve(
    name: str, variable: str, ask_version: Callable[[str], str], start: Callable[[], Server]
) -> Iterator[Server]:
    url = os.environ.get(variable)
    try:
        with quick_start():
            server = Server(name, url, ask_version).start() if url else start()
    except ServerMissing as missing:
        if REQUIRED and TESTED[name].is_required:
            pytest.fail(f"{name}: {missing}", pytrace=False)
        pytest.skip(f"{name}: {missing}")
    TESTED[name].version = server.version
    yield server
    server.kill()
