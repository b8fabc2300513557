"""Vectors written to and read from the Redis online store, against Redis itself and stock Feast.

Input: 10,000 users with one vector of 768 normal float32 each (seed 0), a numpy matrix at our two
ends. Write: all of them into an emptied database, in one call. Read: the vectors of 1,000 of those
users (drawn without replacement, seed 1 plus the turn), the mean of 20 calls (5 of Feast's).

Raw Redis is the floor under any store on it: SETs of the same bytes in a pipeline, and one MGET of
them, which is left as a list of bytes. Ours finds each user's hash, compares commit times in the
server, keeps Feast's layout, and returns a matrix. Asked of us: reads within 2 times the MGET;
writes at least 50,000 vectors/s or within 2 times the SETs, whichever is lower. The same read
without `redis_replies`, by redis-py's own reader, shows what that module is worth: it goes where
it saves less than 5 %. Stock Feast on the
same server, by `write_to_online_store` and `get_online_features`, is what ours replaces.

After each turn each holds the matrix that was written, and stock Feast reads it from our keys too.
"""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
from redis import Redis

from benchmarks.measure import Row, compare, take_turns
from benchmarks.online.features import NUM_USERS, VIEW, WIDTH, milliseconds
from benchmarks.rivals import feast_online, raw_redis
from featurestore.online import redis_server as redis_server_module
from featurestore.online.open import open_online_store
from featurestore.settings import FeatureStoreSettings
from tests.servers import Server, start_redis

NUM_READ = 1_000
WRITE_BAR = 50_000
NUM_CALLS = 20
READ_BAR = 2.0
REPLIES_BAR = 0.95
WRITE_ROUNDS = 5
READ_ROUNDS = 7
QUICK = {"num_users": 2_000}


def run(num_users: int = NUM_USERS) -> list[Row]:
    """Measure writes, then reads, of ours, raw Redis and stock Feast in turn."""
    with tempfile.TemporaryDirectory() as folder, redis_server(Path(folder)) as server:
        bench = RedisBenchmark(Path(folder), server.url, num_users)
        written = take_turns(
            {"ours": bench.write_ours, "raw": bench.write_raw, "feast": bench.write_feast},
            rounds=WRITE_ROUNDS,
        )
        read = take_turns(
            {
                "ours": bench.read_ours,
                "plain": bench.read_plain,
                "raw": bench.read_raw,
                "feast": bench.read_feast,
            },
            rounds=READ_ROUNDS,
        )
        bench.check()
        bench.close()
    return [*write_rows(written), *read_rows(read)]


def write_rows(figures: dict[str, list[float]]) -> list[Row]:
    """The rows of writing."""
    name, unit = "redis: vectors of 768 written to the online store", "rows/s"
    raw = compare(
        name, unit, ours=figures["ours"], rival=figures["raw"], rival_name="raw SETs in a pipeline"
    )
    assert raw.rival is not None
    feast = compare(
        name,
        unit,
        ours=figures["ours"],
        rival=figures["feast"],
        rival_name="stock Feast, write_to_online_store",
    )
    return [replace(raw, bar=min(WRITE_BAR / raw.rival, 0.5)), feast]


def read_rows(figures: dict[str, list[float]]) -> list[Row]:
    """The rows of reading."""
    name, unit = "redis: 1,000 vectors of 768 read by user", "ms"
    return [
        compare(
            name,
            unit,
            ours=figures["ours"],
            rival=figures["raw"],
            rival_name="raw MGET, bytes as they come",
            better="lower",
            bar=READ_BAR,
        ),
        compare(
            name,
            unit,
            ours=figures["ours"],
            rival=figures["plain"],
            rival_name="ours, replies read by redis-py",
            better="lower",
            bar=REPLIES_BAR,
        ),
        compare(
            name,
            unit,
            ours=figures["ours"],
            rival=figures["feast"],
            rival_name="stock Feast, get_online_features",
            better="lower",
        ),
    ]


class RedisBenchmark:
    """The vectors, and a database of the server for each contender."""

    def __init__(self, folder: Path, url: str, num_users: int) -> None:
        self.user_ids = [f"user{number}" for number in range(num_users)]
        rng = np.random.default_rng(0)
        self.vectors = rng.standard_normal((num_users, WIDTH), np.float32)
        server = url.rpartition("/")[0]
        settings = FeatureStoreSettings.at(
            folder / "ours", project="rival", online_store_url=f"{server}/0"
        )
        self.ours = open_online_store(settings)
        self.ours_raw = Redis.from_url(f"{server}/0")
        self.raw = Redis.from_url(f"{server}/1")
        self.feast_raw = Redis.from_url(f"{server}/2")
        self.feast = feast_online.open_store(folder / "feast", online=stock_redis(f"{server}/2"))
        self.stock_on_ours = feast_online.open_store(
            folder / "stock", online=stock_redis(f"{server}/0")
        )
        self.turn = 0

    def write_ours(self) -> float:
        """Rows a second into an emptied database by our store."""
        self.ours_raw.flushdb()
        commit_time = time.time_ns() // 1_000
        start = time.perf_counter()
        self.ours.write(VIEW, self.user_ids, {"vector": self.vectors}, commit_time=commit_time)
        return len(self.user_ids) / (time.perf_counter() - start)

    def write_raw(self) -> float:
        """Rows a second into an emptied database by SETs."""
        self.raw.flushdb()
        start = time.perf_counter()
        raw_redis.write(self.raw, self.user_ids, self.vectors)
        return len(self.user_ids) / (time.perf_counter() - start)

    def write_feast(self) -> float:
        """Rows a second into an emptied database by stock Feast."""
        self.feast_raw.flushdb()
        start = time.perf_counter()
        feast_online.write(self.feast, self.user_ids, self.vectors)
        seconds = time.perf_counter() - start
        self.check()
        return len(self.user_ids) / seconds

    def read_ours(self) -> float:
        """Milliseconds of a read of ours."""
        self.turn += 1
        return milliseconds(
            lambda users: self.ours.read(VIEW, users, ["vector"]), self.sample(), NUM_CALLS
        )

    def read_plain(self) -> float:
        """Milliseconds of a read of ours whose replies redis-py reads one by one."""
        with patch.object(redis_server_module, "read_matrices", return_value=None):
            return self.read_ours()

    def read_raw(self) -> float:
        """Milliseconds of an MGET."""
        return milliseconds(self.raw.mget, self.sample(), NUM_CALLS)

    def read_feast(self) -> float:
        """Milliseconds of a read of stock Feast."""
        return milliseconds(lambda users: feast_online.read(self.feast, users), self.sample())

    def sample(self) -> list[str]:
        """The users of a turn."""
        rows = np.random.default_rng(1 + self.turn).choice(
            len(self.user_ids), NUM_READ, replace=False
        )
        return [self.user_ids[row] for row in rows.tolist()]

    def check(self) -> None:
        """All return the matrix that was written, and Feast reads our keys as well."""
        users = self.sample()
        expected = self.vectors[[int(user.removeprefix("user")) for user in users]]
        for found in (
            self.ours.read(VIEW, users, ["vector"]).features["vector"],
            raw_redis.read(self.raw, users, WIDTH),
            feast_online.read(self.feast, users),
            feast_online.read(self.stock_on_ours, users),
        ):
            np.testing.assert_array_equal(found, expected)

    def close(self) -> None:
        """Close all connections."""
        self.ours.close()
        for client in (self.ours_raw, self.raw, self.feast_raw):
            client.close()


def stock_redis(url: str) -> dict[str, str]:
    """Stock Feast's settings of a server and database that a URL names."""
    address, _, database = url.rpartition("/")
    password, _, host = address.removeprefix("redis://:").rpartition("@")
    return {"type": "redis", "connection_string": f"{host},password={password},db={database}"}


@contextmanager
def redis_server(folder: Path) -> Iterator[Server]:
    """A server for the time of a block. Raises ServerMissing."""
    server = start_redis(folder / "redis")
    try:
        yield server
    finally:
        server.kill()
