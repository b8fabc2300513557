"""The oracle meets the contract, and means what its specification says."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.graphdb.conformance import GraphStoreConformance
from tests.graphdb.made_facts import batch_of
from tests.graphdb.oracle import GraphOracle, Memory
from tests.graphdb.orders import OpenStore
from tests.graphdb.specification import Fact, digest, facts_of, graph_state
from tests.graphdb.strategies import cut, facts


class TestOracle(GraphStoreConformance):
    """The reference stands under the same rules as what is compared with it."""

    @pytest.fixture
    def open_store(self) -> OpenStore:
        memories: dict[str, Memory] = {}
        return lambda name: GraphOracle(memories.setdefault(name, Memory()))


@given(st.lists(facts, max_size=30), st.randoms(use_true_random=False), st.lists(st.integers()))
def test_order_batches_and_repetition_mean_nothing(
    said: list[Fact], random: Random, cuts: list[int]
) -> None:
    repeated = [*said, *said[::2]]
    random.shuffle(repeated)
    oracle = GraphOracle()
    for batch in cut(repeated, cuts):
        oracle.apply(batch_of(batch))
    assert oracle.state == graph_state(said)
    assert oracle.digest() == digest(graph_state(said))


@given(st.lists(facts, max_size=30))
def test_a_batch_holds_the_facts_that_it_was_made_of(said: list[Fact]) -> None:
    assert sorted(map(repr, facts_of(batch_of(said)))) == sorted(map(repr, said))
