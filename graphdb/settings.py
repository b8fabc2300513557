"""Where the graph lies."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from graphdb.errors import GraphUnavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphSettings:
    """The home of embedded state, the project's prefix, and the graph's URL."""

    home: Path
    project: str
    graph_url: str

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "GraphSettings":
        """Read MMGA_HOME, MMGA_PROJECT and MMGA_GRAPH_URL (or MMGA_GRAPH_URL_FILE)."""
        home = Path(environ.get("MMGA_HOME") or ".mmga")
        return cls(
            home=home,
            project=environ.get("MMGA_PROJECT") or "mmga",
            graph_url=_graph_url(environ) or f"sqlite:///{home / 'graph.db'}",
        )


def _graph_url(environ: Mapping[str, str]) -> str | None:
    """The URL as given, or as the file holds it that MMGA_GRAPH_URL_FILE names (a secret)."""
    path = environ.get("MMGA_GRAPH_URL_FILE")
    if not path:
        return environ.get("MMGA_GRAPH_URL")
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise GraphUnavailable(
            f"MMGA_GRAPH_URL_FILE={path} cannot be read ({error}); name a readable text file"
        ) from error
