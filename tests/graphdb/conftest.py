"""Make the assertions of the rules speak (pytest explains those of modules named here), and empty
databases for what is tested on a server."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.graphdb.neo4j_database import TestDatabase
    from tests.servers.server import Server

pytest.register_assert_rewrite(
    *(
        f"tests.graphdb.{module}"
        for module in (
            "deletion_rules",
            "durability_rules",
            "feed_rules",
            "mirror",
            "orders",
            "position_rules",
            "read_rules",
            "sampling_rules",
            "state_rules",
        )
    )
)


@pytest.fixture(scope="session")
def lts_database(neo4j_server: "Server") -> "Iterator[TestDatabase]":
    yield from _database(neo4j_server)


@pytest.fixture(scope="session")
def newest_database(neo4j_calendar_server: "Server") -> "Iterator[TestDatabase]":
    yield from _database(neo4j_calendar_server)


def _database(server: "Server") -> "Iterator[TestDatabase]":
    from tests.graphdb.neo4j_database import TestDatabase

    database = TestDatabase(server.url)
    yield database
    database.close()


@pytest.fixture
def database(lts_database: "TestDatabase") -> "Iterator[TestDatabase]":
    """The database of the server with long-term support: a graph opened in it begins empty."""
    lts_database.forget()
    yield lts_database
    lts_database.forget()


@pytest.fixture
def calendar_database(newest_database: "TestDatabase") -> "Iterator[TestDatabase]":
    """That of the newest release by date."""
    newest_database.forget()
    yield newest_database
    newest_database.forget()
