"""What every graph store must do. A backend subclasses `GraphStoreConformance` and opens stores.

    class TestMine(GraphStoreConformance):
        @pytest.fixture
        def open_store(self) -> Iterator[OpenStore]: ...

The rules stand in modules of their own: `state_rules`, `deletion_rules`, `feed_rules`,
`position_rules`, `read_rules`, `sampling_rules`, `durability_rules`.
"""

from collections.abc import Iterator

import pytest

from graphdb.store import GraphStore
from tests.graphdb.deletion_rules import BigDeletionRules, DeletionRules, ErasureRules
from tests.graphdb.durability_rules import DurabilityRules
from tests.graphdb.feed_rules import FeedRules, TrimRules
from tests.graphdb.orders import OpenStore
from tests.graphdb.position_rules import PositionRules
from tests.graphdb.read_rules import DigestRules, ReadRules
from tests.graphdb.sampling_rules import SamplingRules
from tests.graphdb.state_rules import ExistenceRules, RegisterRules


class GraphStoreConformance(
    RegisterRules,
    ExistenceRules,
    DeletionRules,
    ErasureRules,
    BigDeletionRules,
    FeedRules,
    TrimRules,
    PositionRules,
    ReadRules,
    DigestRules,
    SamplingRules,
    DurabilityRules,
):
    """All rules of the contract, as tests."""

    @pytest.fixture
    def open_store(self) -> OpenStore | Iterator[OpenStore]:
        """Give a function that opens the graph of a name, again and again the same one."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, open_store: OpenStore) -> Iterator[GraphStore]:
        """An empty store."""
        store = open_store("graph")
        yield store
        store.close()
