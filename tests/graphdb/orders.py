"""The same facts, given to stores in different orders and batches."""

from collections.abc import Callable, Iterator, Sequence
from itertools import permutations

from graphdb.store import GraphStore
from tests.graphdb.made_facts import batch_of
from tests.graphdb.mirror import read_state
from tests.graphdb.specification import Fact, counts, digest, graph_state

OpenStore = Callable[[str], GraphStore]
"""Opens the graph of that name: an empty one at first, later what it has become."""

MAX_PERMUTED = 3


def in_every_order(open_store: OpenStore, *facts: Fact) -> Iterator[GraphStore]:
    """Yield stores that were given the facts in different orders, all of them twice.

    Up to three facts come in every order, more come forwards, backwards and rotated; and once
    all in one batch. Fails where a store is not in the state that the specification derives.
    """
    expected = graph_state(facts)
    for number, batches in enumerate(_orders(facts)):
        store = open_store(f"order-{number}")
        # A repeated fact may heal what its first arrival missed: look before and after.
        for _ in range(2):
            for batch in batches:
                store.apply(batch_of(batch))
            assert read_state(store) == expected, batches
            assert store.digest() == digest(expected)
            assert store.counts() == counts(expected)
        yield store
        store.close()


def _orders(facts: Sequence[Fact]) -> Iterator[list[list[Fact]]]:
    yield [list(facts)]
    if len(facts) <= MAX_PERMUTED:
        yield from ([[fact] for fact in order] for order in permutations(facts))
        return
    for start in range(0, len(facts), 2):
        rotated = [*facts[start:], *facts[:start]]
        yield [[fact] for fact in rotated]
        yield [[fact] for fact in reversed(rotated)]
