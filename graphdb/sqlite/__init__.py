"""The embedded graph: the `GraphStore` contract on one SQLite file."""

from graphdb.sqlite.store import SqliteGraph

__all__ = ["SqliteGraph"]
