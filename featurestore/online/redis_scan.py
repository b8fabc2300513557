"""The users of a project on a Redis server, found by SCAN, since there is no index of them."""

from collections.abc import Iterator

from featurestore.online.entity_key import KEYS_OF_STRINGS, split_key
from featurestore.online.redis_server import RedisServer

NUM_KEYS_SCANNED = 1_000


def user_keys(server: RedisServer, project: bytes) -> Iterator[list[bytes]]:
    """Pages of the keys of a project's users, some of them more than once.

    A cursor is void after a restart of the server: the scan then starts from the beginning.
    """
    run_id = _run_id(server)
    while True:
        yield from _scanned_once(server, project)
        before, run_id = run_id, _run_id(server)
        if run_id == before:
            return


def _scanned_once(server: RedisServer, project: bytes) -> Iterator[list[bytes]]:
    pattern = KEYS_OF_STRINGS + b"*" + project
    cursor = 0
    while True:
        cursor, keys = server.run(
            lambda client, cursor=cursor: client.scan(  # type: ignore[misc]
                cursor, match=pattern, count=NUM_KEYS_SCANNED
            )
        )
        yield [key for key in keys if split_key(key)[1] == project]
        if cursor == 0:
            return


def _run_id(server: RedisServer) -> str:
    return str(server.run(lambda client: client.info("server"))["run_id"])
