"""Where the graph lies."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from foundation.settings import GRAPH_URL, HOME, PROJECT


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphSettings:
    """The home of embedded state, the project's prefix, and the graph's URL."""

    home: Path
    project: str
    graph_url: str

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "GraphSettings":
        """Read HOME, PROJECT and GRAPH_URL of `foundation.settings`. Raises SettingInvalid."""
        home = HOME.read(environ)
        return cls(
            home=home,
            project=PROJECT.read(environ),
            graph_url=GRAPH_URL.read(environ) or f"sqlite:///{home / 'graph.db'}",
        )
