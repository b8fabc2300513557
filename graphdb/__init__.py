"""The social graph: facts, stores, change feed, statistics, snapshots and sampling."""

from graphdb.open import open_graph, upgrade_graph

__all__ = ["open_graph", "upgrade_graph"]
