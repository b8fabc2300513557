"""Vectors written to and read from the online store a second, against stock Feast.

Input: 10,000 users with one vector of 768 normal float32 each (seed 0), a numpy matrix at both
ends. Write: all of them into an empty SQLite online store, in one call. Read: the vectors of
1,000 of those users (drawn without replacement, seed 1 plus the turn), 5 calls, the mean of them.
The rival is Feast's own `write_to_online_store` and `get_online_features`. Both write files of
the same layout on the same disk; after each turn both return the same matrix, and stock Feast
reads it from our file too.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.measure import Row, alternate
from featurestore.online.open import open_online_store
from featurestore.online.store import OnlineStore
from featurestore.settings import FeatureStoreSettings

NUM_USERS = 10_000
WIDTH = 768
NUM_READ = 1_000
NUM_CALLS = 5
VIEW = "vectors"
QUICK = {"num_users": 2_000}


def run(num_users: int = NUM_USERS) -> list[Row]:
    """Measure writes, then reads, ours and the rival in turn."""
    with tempfile.TemporaryDirectory() as folder:
        bench = FeaturesBenchmark(Path(folder), num_users)
        written = alternate(
            "features: vectors of 768 written to the online store",
            "rows/s",
            ours=bench.write_ours,
            rival=bench.write_rival,
            rival_name="stock Feast, write_to_online_store",
        )
        read = alternate(
            "features: 1,000 vectors of 768 read by user",
            "ms",
            ours=bench.read_ours,
            rival=bench.read_rival,
            rival_name="stock Feast, get_online_features",
            rounds=7,
            better="lower",
        )
        bench.compare()
        bench.close()
    return [written, read]


class FeaturesBenchmark:
    """The vectors, and a store of each kind in each turn."""

    def __init__(self, folder: Path, num_users: int) -> None:
        self.folder = folder
        self.user_ids = [f"user{number}" for number in range(num_users)]
        rng = np.random.default_rng(0)
        self.vectors = rng.standard_normal((num_users, WIDTH), np.float32)
        self.turn = 0
        self._ours: OnlineStore | None = None

    @property
    def ours(self) -> OnlineStore:
        """Our store of this turn."""
        assert self._ours is not None, "write before reading"
        return self._ours

    def write_ours(self) -> float:
        """Rows a second into an empty store of ours."""
        self.turn += 1
        if self._ours is not None:
            self._ours.close()
        self.settings = FeatureStoreSettings.at(self.folder / f"ours{self.turn}", project="rival")
        self._ours = open_online_store(self.settings)
        start = time.perf_counter()
        commit_time = time.time_ns() // 1_000
        self._ours.write(VIEW, self.user_ids, {"vector": self.vectors}, commit_time=commit_time)
        return len(self.user_ids) / (time.perf_counter() - start)

    def write_rival(self) -> float:
        """Rows a second into an empty store of stock Feast; then both hold the same."""
        from benchmarks.rivals import feast_online

        self.rival = feast_online.open_store(self.folder / f"rival{self.turn}")
        start = time.perf_counter()
        feast_online.write(self.rival, self.user_ids, self.vectors)
        seconds = time.perf_counter() - start
        self.compare()
        return len(self.user_ids) / seconds

    def read_ours(self) -> float:
        """Milliseconds of a read of ours."""
        self.turn += 1
        return milliseconds(lambda users: self.ours.read(VIEW, users, ["vector"]), self.sample())

    def read_rival(self) -> float:
        """Milliseconds of a read of stock Feast."""
        from benchmarks.rivals import feast_online

        return milliseconds(lambda users: feast_online.read(self.rival, users), self.sample())

    def sample(self) -> list[str]:
        """The users of a turn."""
        rows = np.random.default_rng(1 + self.turn).choice(
            len(self.user_ids), NUM_READ, replace=False
        )
        return [self.user_ids[row] for row in rows.tolist()]

    def compare(self) -> None:
        """Both stores return the matrix that was written, and Feast reads our file as well."""
        from benchmarks.rivals import feast_online

        users = self.sample()
        stock_on_ours = feast_online.open_store(
            self.folder / f"stock{self.turn}",
            online={"type": "sqlite", "path": str(self.settings.home / "online.db")},
        )
        expected = self.vectors[[self.user_ids.index(user) for user in users]]
        mine = self.ours.read(VIEW, users, ["vector"]).features["vector"]
        np.testing.assert_array_equal(mine, expected)
        np.testing.assert_array_equal(feast_online.read(self.rival, users), expected)
        np.testing.assert_array_equal(feast_online.read(stock_on_ours, users), expected)

    def close(self) -> None:
        """Close our store."""
        self.ours.close()


def milliseconds(
    read: Callable[[list[str]], object], user_ids: list[str], num_calls: int = NUM_CALLS
) -> float:
    """Mean of some calls."""
    start = time.perf_counter()
    for _ in range(num_calls):
        read(user_ids)
    return (time.perf_counter() - start) * 1_000 / num_calls
