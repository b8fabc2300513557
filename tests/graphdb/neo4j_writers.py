"""What other processes do to a graph in Neo4j. Little is imported: a process begins with it."""

import logging
from multiprocessing.synchronize import Barrier

from graphdb import open_graph
from graphdb.errors import PositionConflict
from tests.graphdb.made_facts import batch_of, move, profile
from tests.graphdb.specification import Fact


def open_at_once(url: str, barrier: Barrier) -> None:
    barrier.wait()
    open_graph(url).close()


def apply_all(url: str, batches: list[list[Fact]], barrier: Barrier) -> None:
    """Apply the batches; a transaction that had to be run again is a failure."""
    store = open_graph(url)
    retries: list[logging.LogRecord] = []
    told = logging.Handler()
    told.emit = retries.append  # type: ignore[method-assign]
    logging.getLogger("neo4j.session").addHandler(told)
    barrier.wait()
    for batch in batches:
        store.apply(batch_of(batch))
    store.close()
    assert not retries, retries[0].getMessage()


def claim(url: str, barrier: Barrier, name: str) -> None:
    """Move one partition on, twenty times, where nobody else has."""
    store = open_graph(url)
    barrier.wait()
    for offset in range(20):
        try:
            store.apply(batch_of([profile(f"{name} {offset}", 1)], [move(offset, offset + 1)]))
        except PositionConflict:
            continue
    store.close()
