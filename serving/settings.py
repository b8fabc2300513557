"""Settings of serving, read from the environment once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from featurestore.settings import FeatureStoreSettings
from foundation.settings import HOST, PORT
from graphdb.settings import GraphSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingSettings:
    """Where features and the graph lie, where to listen, and the limits of one request."""

    features: FeatureStoreSettings
    graph: GraphSettings
    host: str = HOST.default
    port: int = PORT.default
    max_users: int = 1_000
    max_neighbours: int = 1_000
    max_body_bytes: int = 1_048_576
    body_seconds: float = 10.0
    """How long a body may take to arrive."""
    max_requests: int = 256
    """Requests at work at once; those beyond it are answered 503 instead of queueing."""
    graph_head_seconds: float = 1.0
    """How long the graph's newest version is cached."""
    shutdown_seconds: int = 10
    """How long requests in flight may take to finish after a signal to stop."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Settings of an environment, with those of the stores. Raises SettingInvalid."""
        return cls(
            features=FeatureStoreSettings.from_environ(environ),
            graph=GraphSettings.from_environ(environ),
            host=HOST.read(environ),
            port=PORT.read(environ),
        )
