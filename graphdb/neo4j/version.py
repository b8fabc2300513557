"""The version of the graph, on its one Meta node, which serialises the write transactions."""

from typing import Any

from graphdb.neo4j.connection import Transaction
from graphdb.store import Head

SELECT_GRAPH_ID = "MATCH (m:Meta {id: 0}) RETURN m.graph_id"
SELECT_HEAD = "MATCH (m:Meta {id: 0}) RETURN m.version, m.commit_time"
# The first statement of every write: whoever holds Meta writes, the others wait. No later one may
# set a property of Meta from that property's own value: the server then asks for the lock again,
# and calls it a deadlock where another writer waits. The server keeps the counts, from which
# follows what need not be looked for.
ADVANCE = """
MATCH (m:Meta {id: 0})
SET m.version = m.version + 1
WITH m
RETURN m.graph_id, m.version, m.commit_time, m.buried_at,
    COUNT { (:UserTombstone) }, COUNT { (:PostTombstone) }, COUNT { ()-[:UNFOLLOWED]->() },
    COUNT { (:StubPost) }"""
LOCK = "MATCH (m:Meta {id: 0}) SET m.version = m.version"


def advance(tx: Transaction) -> list[Any] | None:
    """Begin a write: wait for other writers, and advance the version by one.

    Returns the graph's id, the new version, the last commit time, the version of the last burial,
    and the numbers of user tombstones, post tombstones, unfollows and stub posts; None without a
    graph.
    """
    return tx.find(ADVANCE)


def lock(tx: Transaction) -> None:
    """Begin a write that leaves the version as it is: wait for other writers."""
    tx.do(LOCK)


def read_graph_id(tx: Transaction) -> str | None:
    """The graph's id, None without a graph."""
    found = tx.find(SELECT_GRAPH_ID)
    return found[0] if found else None


def read_head(tx: Transaction) -> Head:
    """The newest version."""
    version, commit_time = tx.ask(SELECT_HEAD)
    return Head(version=version, commit_time=commit_time)
