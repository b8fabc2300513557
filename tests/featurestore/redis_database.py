"""A database of the tests' Redis server that these tests may empty."""

from urllib.parse import urlsplit

from redis import Redis

DATABASE = 15


def emptied(url: str, database: int = DATABASE) -> str:
    """The URL of a database of the server, which is empty now."""
    named = urlsplit(url)._replace(path=f"/{database}").geturl()
    with Redis.from_url(named) as client:
        client.flushdb()
    return named
