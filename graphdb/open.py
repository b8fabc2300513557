"""Opens the graph store that a URL names."""

from pathlib import Path
from typing import TYPE_CHECKING

from graphdb.errors import GraphUnavailable

if TYPE_CHECKING:
    from graphdb.store import GraphStore


def open_graph(url: str, *, read_only: bool = False) -> "GraphStore":
    """Open, and where it is new create, the graph at `url`; a reader never creates one.

    Open it after a fork, not before: a store belongs to one process.

    Raises GraphUnavailable when the URL's scheme is unknown or the store cannot be opened,
    FormatTooNew when a newer version of this software wrote it.
    """
    scheme, separator, rest = url.partition(":///")
    if scheme == "sqlite" and separator and rest:
        from graphdb.sqlite import SqliteGraph

        return SqliteGraph.open(Path(rest), read_only=read_only)
    raise GraphUnavailable(
        f"cannot open a graph at {_without_user_info(url)!r}; "
        "set MMGA_GRAPH_URL to sqlite:///PATH (sqlite:////PATH when absolute)"
    )


def _without_user_info(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    return scheme + separator + rest.rpartition("@")[2]
