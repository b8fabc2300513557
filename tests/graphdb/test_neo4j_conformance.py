"""The store on a Neo4j server meets the contract."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from graphdb.store import GraphStore
from tests.graphdb.conformance import GraphStoreConformance
from tests.graphdb.deletion_rules import ErasureRules
from tests.graphdb.feed_rules import FeedRules, TrimRules
from tests.graphdb.made_facts import batch_of, follow, label, post, user_deletion
from tests.graphdb.mirror import Mirror, read_state
from tests.graphdb.neo4j_database import TestDatabase
from tests.graphdb.orders import OpenStore
from tests.graphdb.position_rules import PositionRules
from tests.graphdb.read_rules import ANN, FULL, DigestRules
from tests.graphdb.sampling_rules import SamplingRules
from tests.graphdb.specification import Fact, digest, graph_state
from tests.graphdb.strategies import cut, facts
from tests.graphdb.test_state_machine import GraphMachine

many_facts = st.lists(facts, max_size=25)
cuts = st.lists(st.integers(0, 50), max_size=5)

FUNCTION_FIXTURES = [HealthCheck.function_scoped_fixture]


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


class TestNeo4jCalendar(
    FeedRules, TrimRules, PositionRules, DigestRules, ErasureRules, SamplingRules
):
    """On the newest release by date, rules that together use every statement."""

    @pytest.fixture
    def open_store(self, calendar_database: TestDatabase) -> OpenStore:
        return calendar_database.open

    @pytest.fixture
    def store(self, open_store: OpenStore) -> GraphStore:
        return open_store("graph")

    test_histories_that_end_alike_have_one_digest = (
        TestNeo4j.test_histories_that_end_alike_have_one_digest
    )


def test_the_store_is_the_oracle(database: TestDatabase) -> None:
    class ServerMachine(GraphMachine):
        """The same life, in a database that each example finds empty."""

        def __init__(self) -> None:
            database.forget()
            super().__init__()

        def opened(self, *, read_only: bool = False) -> GraphStore:
            return database.open(read_only=read_only)

    run_state_machine_as_test(
        ServerMachine, settings=settings(max_examples=6, stateful_step_count=12)
    )


@settings(max_examples=12, suppress_health_check=FUNCTION_FIXTURES)
@given(
    st.lists(facts, max_size=25), st.randoms(use_true_random=False), st.lists(st.integers(0, 50))
)
def test_two_writers_that_take_turns_mean_the_same_as_one(
    database: TestDatabase, said: list[Fact], random: Random, cuts: list[int]
) -> None:
    """What one remembers of users, the other has changed in between."""
    database.forget()
    shuffled = [*said, *said[::3]]
    random.shuffle(shuffled)
    writers = [database.open(), database.open()]
    mirror = Mirror(writers[0])
    for batch in cut(shuffled, cuts):
        random.choice(writers).apply(batch_of(batch))
    expected = graph_state(said)
    for writer in writers:
        assert read_state(writer) == expected
    mirror.catch_up(writers[1])
    mirror.assert_equal(expected)


@settings(max_examples=12, suppress_health_check=FUNCTION_FIXTURES)
@given(
    st.lists(facts, max_size=25), st.randoms(use_true_random=False), st.lists(st.integers(0, 50))
)
def test_facts_mean_the_same_where_every_deletion_is_a_big_one(
    database: TestDatabase, said: list[Fact], random: Random, cuts: list[int]
) -> None:
    """Its facts go ahead of the batch in transactions of two."""
    database.forget()
    shuffled = [*said, *said[::3]]
    random.shuffle(shuffled)
    store = database.open()
    mirror = Mirror(store)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("graphdb.neo4j.deletions.FACTS_A_TRANSACTION", 2)
        patch.setattr("graphdb.neo4j.reading.KEYS_A_READ", 2)
        patch.setattr("graphdb.neo4j.feed.COMMITS_A_READ", 2)
        for batch in cut(shuffled, cuts):
            store.apply(batch_of(batch))
        expected = graph_state(said)
        assert read_state(store) == expected
        assert store.digest() == digest(expected)
        mirror.catch_up(store)
        mirror.assert_equal(expected)
