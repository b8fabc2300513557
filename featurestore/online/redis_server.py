"""The connection to a Redis server: timeouts, one retry, scripts, translated errors.

Every command may be repeated: rows are ordered by commit time and an equal one rewrites, deletions
and pointers are idempotent. So a command whose connection drops is sent once more.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha1
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from redis import ConnectionPool, Redis
from redis.asyncio import Redis as AsyncRedis
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from featurestore.errors import StoreUnavailable, StoreUnreachable
from featurestore.online.redis_replies import read_matrices
from foundation.errors import SettingInvalid
from foundation.url import without_secrets

CONNECT_TIMEOUT_SECONDS = 2.0
SOCKET_TIMEOUT_SECONDS = 5.0
SECONDS_BEFORE_RETRY = 0.2
OPTIONS: dict[str, Any] = {
    "socket_connect_timeout": CONNECT_TIMEOUT_SECONDS,
    "socket_timeout": SOCKET_TIMEOUT_SECONDS,
    "socket_keepalive": True,
    "health_check_interval": 30,
}
"""Defaults of the connection; options in the URL override them."""

T = TypeVar("T")
Word = bytes | str | int
Client = Any
"""redis-py's client; its methods are typed as synchronous and asynchronous at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A Lua script and the name under which a server caches it."""

    text: str

    @property
    def name(self) -> str:
        """The digest that EVALSHA takes."""
        return sha1(self.text.encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One run of a script."""

    keys: Sequence[Word]
    arguments: Sequence[Word]


class RedisServer:
    """A server and database by URL, safe to share between threads; connects on first use."""

    def __init__(self, url: str) -> None:
        self.name = without_secrets(url)
        self._url = url
        self._closed = False

    @cached_property
    def client(self) -> Client:
        """redis-py's client. Raises SettingInvalid for a URL that names no server."""
        try:
            pool = ConnectionPool.from_url(self._url, retry=Retry(NoBackoff(), 0), **OPTIONS)
            pool.connection_kwargs["decode_responses"] = False
            pool.make_connection()
        except (ValueError, TypeError) as error:
            raise SettingInvalid(
                f"MMGA_ONLINE_STORE_URL={self.name} cannot be used: give "
                "redis[s]://[user:password@]host:port/db, special characters of a password as %XX"
            ) from error
        return Redis(connection_pool=pool)

    def run(self, do: Callable[[Client], T]) -> T:
        """Call `do` with the client, and once more when its connection drops.

        Raises StoreUnreachable, StoreUnavailable.
        """
        if self._closed:
            raise StoreUnavailable(f"{self.name} is closed: open it again")
        with translated(self.name):
            try:
                return do(self.client)
            except AuthenticationError:  # a connection error to redis-py
                raise
            except (RedisConnectionError, RedisTimeoutError):
                time.sleep(SECONDS_BEFORE_RETRY)
                return do(self.client)

    def evaluate(self, script: Script, calls: Sequence[Call]) -> list[Any]:
        """The result of each run of a script, which is loaded where the server lacks it."""
        try:
            return self.run(lambda client: _evaluate(client, script, calls))
        except _ScriptMissing:
            self.run(lambda client: client.script_load(script.text))
            return self.run(lambda client: _evaluate(client, script, calls))

    def gather(self, commands: Sequence[bytes]) -> list[Any]:
        """The replies to packed commands, sent at once.

        redis-py's own pipeline takes about twice as long for 1,000 replies.
        """
        return self.run(
            lambda client: _gather(
                client,
                commands,
                lambda connection: [connection.read_response() for _ in commands],
            )
        )

    def gather_columns(
        self, commands: Sequence[bytes], num_columns: int
    ) -> list[NDArray[np.uint8] | list[bytes | None]]:
        """The replies to packed commands that each return a list of values, by column.

        The columns are matrices (B, length) of bytes where the values of each column have one
        length, else lists.
        """

        def receive(connection: Any) -> list[NDArray[np.uint8] | list[bytes | None]]:
            matrices = read_matrices(connection, len(commands))
            if matrices is not None:
                return list(matrices)
            answers = [connection.read_response() for _ in commands]
            return [list(column) for column in zip(*answers, strict=True)]

        if not commands:
            return [[] for _ in range(num_columns)]
        return self.run(lambda client: _gather(client, commands, receive))

    def close(self) -> None:
        """Close all connections; using them afterwards is an error."""
        self._closed = True
        if "client" in self.__dict__:
            self.client.connection_pool.disconnect()


def async_client(url: str) -> Client:
    """redis-py's asynchronous client, which Feast's asynchronous reads use."""
    return AsyncRedis.from_url(url, **OPTIONS)


class _ScriptMissing(Exception):
    """The server does not have a script: it was restarted or flushed."""


def _evaluate(client: Client, script: Script, calls: Sequence[Call]) -> list[Any]:
    pipeline = client.pipeline(transaction=False)
    for call in calls:
        pipeline.execute_command(
            "EVALSHA", script.name, len(call.keys), *call.keys, *call.arguments
        )
    answers: list[Any] = pipeline.execute(raise_on_error=False)
    for answer in answers:
        if isinstance(answer, NoScriptError):
            raise _ScriptMissing from answer
        if isinstance(answer, Exception):
            raise answer
    return answers


def _gather(client: Client, commands: Sequence[bytes], receive: Callable[[Any], T]) -> T:
    pool = client.connection_pool
    connection = pool.get_connection()
    try:
        connection.send_packed_command([b"".join(commands)])
        return receive(connection)
    except BaseException:
        connection.disconnect()  # else the next user would read these replies
        raise
    finally:
        pool.release(connection)


def packed(command: bytes, keys: Iterable[bytes], words: Sequence[bytes]) -> list[bytes]:
    """One command in Redis's protocol for each key, with the same arguments after it."""
    head = b"*%d\r\n$%d\r\n%s\r\n" % (2 + len(words), len(command), command)
    tail = b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
    return [b"%s$%d\r\n%s\r\n%s" % (head, len(key), key, tail) for key in keys]


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Turn errors of redis-py into ours; the URL is named without its password."""
    try:
        yield
    except (AuthenticationError, NoPermissionError) as error:
        raise StoreUnavailable(
            f"{name} refuses this user ({error}): check user and password in MMGA_ONLINE_STORE_URL"
        ) from error
    except BusyLoadingError as error:
        raise StoreUnreachable(f"{name} is still loading its data: wait and try again") from error
    except (RedisConnectionError, RedisTimeoutError) as error:
        raise StoreUnreachable(
            f"{name} does not answer ({error}): start the server, or check host and port in "
            "MMGA_ONLINE_STORE_URL"
        ) from error
    except OutOfMemoryError as error:
        raise StoreUnavailable(
            f"{name} is full: raise its maxmemory, or drop generations that are no longer needed"
        ) from error
    except ReadOnlyError as error:
        raise StoreUnavailable(
            f"{name} is a replica and takes no writes: name the primary in MMGA_ONLINE_STORE_URL"
        ) from error
    except RedisError as error:
        raise StoreUnavailable(
            f"{name} refuses a command ({error}): check its log; the database must be for MMGA "
            "and Feast alone"
        ) from error
