"""Projecting a generation beside a bare write of its online rows, and switching what is served.

Input: users with three vectors of 768 random float32 each, in an embedded home. Projecting writes
vectors and provenance to history and online store, deletes who left, and writes the base index. The
bare write inserts the same rows, encoded before the clock starts, into a file of the same layout,
in transactions of the same size with the same settings: no comparison with what is there, no
history, no index.

A switch is the write of the pointer record and of Feast's service; checksums are verified and the
projections caught up before.
"""

import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.measure import Row, alternate
from featurestore.definitions import MODALITIES
from featurestore.generations.generation import Generation, new_generation_id
from featurestore.online.rows import encoded_rows
from featurestore.online.sqlite_rows import table_rows
from featurestore.online.sqlite_store import MAX_TRANSACTION_ROWS
from featurestore.settings import FeatureStoreSettings
from graphdb import open_graph
from graphdb.facts import Batch, ProfileFact
from graphdb.snapshot.snapshot import Snapshot, take_snapshot
from training.encoding.all_users import UserVectors
from training.publishing.activation import flip
from training.publishing.drop import drop
from training.publishing.projection import page_features, pages, project
from training.publishing.stores import Stores, open_stores
from training.settings import TrainingSettings

NUM_USERS = 60_000
WIDTH = 768
NUM_SWITCHES = 40
MAX_RATIO = 2.0
MAX_MILLISECONDS = 50.0
COMPUTED_AT = datetime(2026, 11, 21, tzinfo=UTC)
QUICK = {"num_users": 600, "rounds": 1, "warm_up": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Publishing:
    """The stores of a home, a snapshot of its users, and their vectors."""

    stores: Stores
    snapshot: Snapshot
    vectors: UserVectors
    folder: Path

    def ours(self) -> float:
        """Seconds of projecting a new generation."""
        generation = sealed(self.stores, self.snapshot)
        started = time.perf_counter()
        project(self.stores, generation, self.snapshot, self.vectors)
        seconds = time.perf_counter() - started
        drop(self.stores, generation.id)
        return seconds

    def bare(self) -> float:
        """Seconds of writing the same rows to a new file."""
        path = self.folder / f"bare{time.perf_counter_ns()}.db"
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(
                "CREATE TABLE rows (entity_key BLOB, feature_name TEXT, value BLOB, "
                "value_text TEXT, vector_value BLOB, event_ts timestamp, created_ts timestamp, "
                "PRIMARY KEY(entity_key, feature_name))"
            )
            seconds = sum(self.bare_pages(connection))
        path.unlink()
        return seconds

    def bare_pages(self, connection: sqlite3.Connection) -> Iterator[float]:
        """Seconds of each transaction."""
        now, size = self.snapshot.commit_time, MAX_TRANSACTION_ROWS // (len(MODALITIES) + 4)
        for rows in pages(self.snapshot.num_users):
            user_ids = self.snapshot.user_ids[rows]
            features = page_features(self.snapshot, self.vectors, rows, len(user_ids), COMPUTED_AT)
            encoded = sorted(encoded_rows(user_ids, features, now), key=lambda row: row.key)
            for start in range(0, len(encoded), size):
                ready = list(table_rows(encoded[start : start + size]))
                started = time.perf_counter()
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(
                    "INSERT INTO rows (entity_key, feature_name, value, value_text, event_ts) "
                    "VALUES (?, ?, ?, ?, ?)",
                    ready,
                )
                connection.execute("COMMIT")
                yield time.perf_counter() - started


def run(*, num_users: int = NUM_USERS, rounds: int = 3, warm_up: bool = True) -> list[Row]:
    """Projecting beside the bare write, and switches."""
    with made(num_users) as publishing:
        projecting = alternate(
            f"generations: publishing {num_users:,} x (3 x {WIDTH} floats)",
            "s",
            ours=publishing.ours,
            rival=publishing.bare,
            rival_name="bare write of the online rows",
            rounds=rounds,
            warm_up=warm_up,
            better="lower",
            bar=MAX_RATIO,
        )
        return [projecting, switches(publishing)]


@contextmanager
def made(num_users: int) -> Iterator[Publishing]:
    """A home with users and their vectors."""
    rng = np.random.default_rng(0)
    has = np.ones(num_users, np.bool_)
    vectors = {name: rng.standard_normal((num_users, WIDTH), np.float32) for name in MODALITIES}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings, training = FeatureStoreSettings.at(folder), TrainingSettings(home=folder)
        with closing(open_graph(f"sqlite:///{folder / 'graph.db'}")) as graph:
            graph.apply(Batch(profiles=[profile(number) for number in range(num_users)]))
            with open_stores(graph, settings, training) as stores:
                yield Publishing(
                    stores=stores,
                    snapshot=take_snapshot(graph, training.snapshots),
                    vectors=UserVectors(**vectors, has_image=has, has_text=has),
                    folder=folder,
                )


def profile(number: int) -> ProfileFact:
    """A user of whom nothing but the name is known."""
    return ProfileFact(user_id=f"user{number:06d}", username="name", time=1, tie=number)


def sealed(stores: Stores, snapshot: Snapshot) -> Generation:
    """A generation without files."""
    generation_id = new_generation_id(datetime.now(UTC))
    stores.generations.begin(generation_id)
    return stores.generations.seal(
        generation_id,
        {
            "created_at": COMPUTED_AT.isoformat(),
            "graph_id": snapshot.graph_id,
            "graph_version": snapshot.version,
            "commit_time": snapshot.commit_time,
            "dims": dict.fromkeys(MODALITIES, WIDTH),
            "scales": dict.fromkeys(MODALITIES, 1.0),
            "num_users": snapshot.num_users,
        },
    )


def switches(publishing: Publishing) -> Row:
    """Median of switches between two generations whose projections are there."""
    stores, snapshot = publishing.stores, publishing.snapshot
    pair = [sealed(stores, snapshot) for _ in range(2)]
    for generation in pair:
        stores.registry.apply_generation(generation.id, generation.dims)
    milliseconds = []
    for number in range(NUM_SWITCHES):
        started = time.perf_counter()
        flip(stores, pair[number % 2].id, "benchmark")
        milliseconds.append(1_000 * (time.perf_counter() - started))
    return Row(
        name="generations: activation and rollback, in process",
        unit="ms",
        ours=statistics.median(milliseconds),
        rounds=NUM_SWITCHES,
        better="lower",
        bar=MAX_MILLISECONDS,
    )
