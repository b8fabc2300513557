"""Opens the graph store that a URL names."""

from pathlib import Path
from typing import TYPE_CHECKING

from foundation.settings import NEO4J_SCHEMES
from foundation.url import without_secrets
from graphdb.errors import GraphUnavailable

if TYPE_CHECKING:
    from graphdb.store import GraphStore


def open_graph(url: str, *, read_only: bool = False) -> "GraphStore":
    """Open, and where it is new create, the graph at `url`; a reader never creates one.

    Open it after a fork, not before: a store belongs to one process.

    Raises GraphUnavailable when the URL's scheme is unknown or the store cannot be opened
    (GraphUnreachable when a server does not answer, within about ten seconds), FormatTooNew when
    a newer version of this software wrote it.
    """
    scheme, separator, rest = url.partition(":///")
    if scheme == "sqlite" and separator and rest:
        from graphdb.sqlite import SqliteGraph

        return SqliteGraph.open(Path(rest), read_only=read_only)
    if url.partition("://")[0] in NEO4J_SCHEMES:
        return _open_neo4j(url, read_only=read_only)
    raise GraphUnavailable(
        f"cannot open a graph at {without_secrets(url)!r}; "
        "set MMGA_GRAPH_URL to sqlite:///PATH (sqlite:////PATH when absolute) "
        "or neo4j://user:password@host:7687/database"
    )


def _open_neo4j(url: str, *, read_only: bool) -> "GraphStore":
    try:
        from graphdb.neo4j import Neo4jGraph
    except ModuleNotFoundError as error:
        if error.name != "neo4j":
            raise
        raise GraphUnavailable(
            f"the driver for {without_secrets(url)!r} is not installed; "
            'run `pip install ".[neo4j]"` in the checkout'
        ) from error
    return Neo4jGraph.open(url, read_only=read_only)
