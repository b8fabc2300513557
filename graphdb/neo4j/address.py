"""Where a Neo4j database is and who asks, read from one URL."""

from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

from foundation.url import without_secrets
from graphdb.errors import GraphUnavailable

DEFAULT_DATABASE = "neo4j"
DEFAULT_USER = "neo4j"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """The driver's own URL, the database, and the credentials, which are never shown."""

    driver_url: str
    database: str
    user: str | None = field(repr=False)
    password: str | None = field(repr=False)

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Read `SCHEME://user:password@host:port/database`, its user-info percent-decoded.

        Raises GraphUnavailable, without the user-info, when there is no host or no valid port.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise _unreadable(url) from error
        database = unquote(parts.path.strip("/")) or DEFAULT_DATABASE
        if not host or "/" in database:
            raise _unreadable(url)
        return cls(
            driver_url=_driver_url(parts, host, port),
            database=database,
            user=_user(parts),
            password=None if parts.password is None else unquote(parts.password),
        )

    @property
    def auth(self) -> tuple[str, str] | None:
        """User and password, or None for a server without authentication."""
        if self.user is None:
            return None
        return self.user, self.password or ""

    def __str__(self) -> str:
        return f"{self.driver_url}/{self.database}"


def _driver_url(parts: SplitResult, host: str, port: int | None) -> str:
    host = f"[{host}]" if ":" in host else host
    authority = host if port is None else f"{host}:{port}"
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{authority}{query}"


def _user(parts: SplitResult) -> str | None:
    if parts.username:
        return unquote(parts.username)
    return None if parts.password is None else DEFAULT_USER


def _unreadable(url: str) -> GraphUnavailable:
    return GraphUnavailable(
        f"cannot read the graph's URL {without_secrets(url)!r}; set MMGA_GRAPH_URL to "
        "neo4j://user:password@host:7687/database, user and password percent-encoded"
    )
