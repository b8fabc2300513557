"""Opens the graph store that a URL names, or brings it to the current format."""

from collections.abc import Iterator
from contextlib import contextmanager
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
    (GraphUnreachable when a server does not answer, within about ten seconds), FormatRefused when
    another version of this software wrote it.
    """
    if path := _path(url):
        from graphdb.sqlite import SqliteGraph

        return SqliteGraph.open(path, read_only=read_only)
    with _driver_of(url):
        from graphdb.neo4j import Neo4jGraph
    return Neo4jGraph.open(url, read_only=read_only)


def upgrade_graph(url: str) -> Iterator[int]:
    """Bring the graph at `url` to the current format, and give the format after each step.

    Whoever uses the graph has to end before. What a kill interrupts, the next call completes.
    Raises GraphUnavailable as `open_graph` does, FormatRefused for a newer graph.
    """
    if path := _path(url):
        from graphdb.sqlite.upgrade import upgrade as upgrade_file

        return upgrade_file(path)
    with _driver_of(url):
        from graphdb.neo4j.upgrade import upgrade as upgrade_database
    return upgrade_database(url)


def _path(url: str) -> Path | None:
    """The file of an embedded graph; None of a graph on a server."""
    scheme, separator, rest = url.partition(":///")
    if scheme == "sqlite" and separator and rest:
        return Path(rest)
    if url.partition("://")[0] in NEO4J_SCHEMES:
        return None
    raise GraphUnavailable(
        f"cannot open a graph at {without_secrets(url)!r}; "
        "set MMGA_GRAPH_URL to sqlite:///PATH (sqlite:////PATH when absolute) "
        "or neo4j://user:password@host:7687/database"
    )


@contextmanager
def _driver_of(url: str) -> Iterator[None]:
    """Raises GraphUnavailable where the driver that the block imports is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "neo4j":
            raise
        raise GraphUnavailable(
            f"the driver for {without_secrets(url)!r} is not installed; "
            'run `pip install ".[neo4j]"` in the checkout'
        ) from error
