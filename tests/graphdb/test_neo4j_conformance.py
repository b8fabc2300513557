"""The store on a Neo4j server meets the contract."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.graphdb.conformance import GraphStoreConformance
from tests.graphdb.made_facts import batch_of, follow, label, post, user_deletion
from tests.graphdb.neo4j_database import TestDatabase
from tests.graphdb.orders import OpenStore
from tests.graphdb.read_rules import ANN, FULL
from tests.servers.server import Server


@pytest.fixture(scope="module")
def server_database(neo4j_server: Server) -> Iterator[TestDatabase]:
    database = TestDatabase(neo4j_server.url)
    yield database
    database.close()


@pytest.fixture
def database(server_database: TestDatabase) -> Iterator[TestDatabase]:
    yield server_database
    server_database.forget()


class TestNeo4j(GraphStoreConformance):
    """All rules, on a server."""

    @pytest.fixture
    def open_store(self, database: TestDatabase) -> OpenStore:
        return database.open

    # A Community server has one database: where a rule compares two graphs, one comes first.

    def test_each_graph_has_an_identity_of_its_own(self, open_store: OpenStore) -> None:
        identities = {""}
        for name in ("one", "two"):
            store = open_store(name)
            identities.add(store.graph_id)
            store.close()
        assert len(identities) == 3

    def test_histories_that_end_alike_have_one_digest(self, open_store: OpenStore) -> None:
        straight = open_store("straight")
        straight.apply(batch_of(FULL))
        expected = straight.digest()
        straight.close()
        winding = open_store("winding")
        winding.apply(batch_of([follow("ann", "eve", 1), post("q", "eve", 1)]))
        winding.apply(batch_of([*reversed(FULL), label("user", "bob", 7, "x", task="mood")]))
        assert winding.digest() != expected
        winding.apply(batch_of([user_deletion("eve", 9), label("user", "bob", 8, task="mood")]))
        assert winding.digest() == expected
        winding.apply(batch_of([replace(ANN, tie=ANN.tie + 1)]))
        assert winding.digest() == expected
        winding.close()
