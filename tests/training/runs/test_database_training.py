"""MMGA trains from a live Neo4j as from a snapshot, also while events arrive."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from graphdb import open_graph
from graphdb.folds import HELD_OUT_FOLDS, fold
from graphdb.snapshot.snapshot import Snapshot
from graphdb.store import GraphStore
from tests.graphdb.made_facts import batch_of, follow
from tests.servers.server import Server
from tests.training.sampling.test_sources import empty_database
from tests.training.small_home import START, small_home
from tests.training.small_network import small_config, small_network, with_phases
from training.encoding.all_users import encode_users
from training.evaluation.comparison import deviation
from training.inputs.post_inputs import PostInputs
from training.mmga.batches import GraphBatch
from training.mmga.config import RunConfig
from training.mmga.trainer import Trainer
from training.mmga.training_data import training_data
from training.sampling.database_source import DatabaseSource
from training.sampling.snapshot_source import SnapshotSource
from training.sampling.source import GraphSource

SEEDS = (0, 1, 2, 3)
NUM_USERS = 60


def config() -> RunConfig:
    """So many steps that a seed's result is no matter of luck."""
    return with_phases(
        small_config(edges="follows"), num_encoder_steps=2, num_graph_steps=30, num_edge_targets=48
    )


class WatchedTrainer(Trainer):
    """Remembers every follow that a batch holds."""

    def draw(self, number: int, microbatch: int = 0) -> Any:
        parts = super().draw(number, microbatch)
        for batch in parts:
            if isinstance(batch, GraphBatch):
                self.remember(batch.users[batch.u], batch.users[batch.v], batch.connected.bool())
                for block in batch.blocks:
                    for relation, (near, ends) in enumerate(
                        zip(block.neighbours, block.targets, strict=True)
                    ):
                        pair = batch.users[ends], batch.users[near]
                        self.remember(*(pair if relation == 0 else pair[::-1]))
        return parts

    def remember(
        self, u: torch.Tensor, v: torch.Tensor, kept: torch.Tensor | slice = slice(None)
    ) -> None:
        self.seen |= set(zip(u[kept].tolist(), v[kept].tolist(), strict=True))

    @property
    def seen(self) -> set[tuple[int, int]]:
        return self.__dict__.setdefault("follows", set())

    @seen.setter
    def seen(self, pairs: set[tuple[int, int]]) -> None:
        self.__dict__["follows"] = pairs


def pinned(snapshot: Snapshot, store: GraphStore) -> Snapshot:
    """The small network as a snapshot of the store that holds its follows."""
    return replace(snapshot, graph_id=store.graph_id, version=store.head().version)


def fill(store: GraphStore, snapshot: Snapshot) -> None:
    pairs = snapshot.graph.followees.pairs().tolist()
    store.apply(batch_of(follow(f"user-{u}", f"user-{v}", 1) for u, v in pairs))


def stir(store: GraphStore, step: int) -> None:
    """Events of one step: some pairs decide fresh, with the chances that made the network."""
    rng = np.random.default_rng([5, step])
    u, v = rng.integers(0, NUM_USERS, (2, 10))
    live = rng.random(len(u)) < np.where(u % 3 == v % 3, 0.6, 0.04)
    decided = {
        (a, b): alive
        for a, b, alive in zip(u.tolist(), v.tolist(), live.tolist(), strict=True)
        if a != b
    }
    store.apply(
        batch_of(
            follow(f"user-{a}", f"user-{b}", 10 + step, live=alive)
            for (a, b), alive in decided.items()
        )
    )


@dataclass
class Trained:
    auc: float
    seen: set[tuple[int, int]]


def trained(
    source: GraphSource,
    network: tuple[Snapshot, PostInputs],
    seed: int,
    *,
    busy: GraphStore | None = None,
) -> Trained:
    """Train one seed; how well its vectors tell held-out follows from negatives."""
    snapshot, inputs = network
    data = training_data(snapshot, inputs, "follows", source)
    trainer = WatchedTrainer(config(), data, seed=seed)
    for number in range(trainer.num_steps):
        if busy is not None:
            stir(busy, number)
        trainer.step(number)
    vectors = encode_users(trainer.model, data, SnapshotSource(snapshot, "follows"), salt=b"judged")
    followees = snapshot.graph.followees
    held_out = followees.pairs(HELD_OUT_FOLDS)
    u, v = np.divmod(np.arange(NUM_USERS**2), NUM_USERS)
    negatives = (u != v) & ~followees.contains(u, v)
    ends = (np.concatenate([held_out[:, end], each[negatives]]) for end, each in ((0, u), (1, v)))
    with torch.no_grad():
        follower, followee = (torch.from_numpy(vectors.graph[each]) for each in ends)
        scores = trainer.model.graph_structure_modelling.score(follower, followee).numpy()
    labels = np.arange(len(scores)) < len(held_out)
    return Trained(roc_auc_score(labels.astype(np.int64), scores), trainer.seen)


@pytest.mark.slow
@pytest.mark.servers("Neo4j")
def test_the_database_trains_as_the_snapshot_does_also_while_events_arrive(
    neo4j_server: Server,
) -> None:
    torch.set_num_threads(1)
    network = small_network(num_users=NUM_USERS)
    results: dict[str, list[float]] = {"snapshot": [], "database": [], "busy": []}
    for seed in SEEDS:
        results["snapshot"].append(
            trained(SnapshotSource(network[0], "follows"), network, seed).auc
        )
        for name in ("database", "busy"):
            empty_database(neo4j_server.url)
            with closing(open_graph(neo4j_server.url)) as store:
                fill(store, network[0])
                begun = store.head().version
                source = DatabaseSource(pinned(network[0], store), "follows", store)
                found = trained(source, network, seed, busy=store if name == "busy" else None)
                assert source.versions is not None
                assert source.versions.first >= begun
                assert (source.versions.last > source.versions.first) == (name == "busy")
                assert len(found.seen) > 500
                for u, v in found.seen:
                    assert fold(f"user-{u}", f"user-{v}") not in HELD_OUT_FOLDS
                if name == "busy":
                    new = found.seen - set(map(tuple, network[0].graph.followees.pairs().tolist()))
                    assert len(new) > 20
                results[name].append(found.auc)
    means = {name: float(np.mean(values)) for name, values in results.items()}
    assert means["snapshot"] > 0.8
    for name in ("database", "busy"):
        both = [deviation(results[each]) for each in ("snapshot", name)]
        assert abs(means[name] - means["snapshot"]) <= np.hypot(*both) / np.sqrt(2), results


@pytest.mark.slow
@pytest.mark.servers("Neo4j")
def test_mmga_train_draws_from_neo4j_and_records_the_versions_that_it_saw(
    neo4j_server: Server, tmp_path: Path
) -> None:
    empty_database(neo4j_server.url)
    settings = small_home(tmp_path, url=neo4j_server.url)
    command = [sys.executable, "-m", "mmga", "train", "--recipe", "smoke", "--sampler", "database"]
    options = ["--seeds", "1", "--json", "--set", "text.vocabulary_size=300"]
    environ = os.environ | {
        "MMGA_GRAPH_URL": neo4j_server.url,
        "MMGA_HOME": str(settings.home),
        "MMGA_MEDIA_ROOT": str(settings.media_root),
    }
    with closing(open_graph(neo4j_server.url)) as store, events_arriving(store) as begun:
        done = subprocess.run(
            command + options, env=environ, capture_output=True, text=True, check=False, timeout=280
        )
    assert done.returncode == 0, done.stderr
    assert neo4j_server.url not in done.stdout + done.stderr
    document = json.loads(done.stdout)
    first, last = document["graph_versions_seen"]["0"]
    assert begun <= document["graph_version"] < first < last
    (run,) = (each.parent for each in settings.runs.glob("r*/run.json"))
    written = json.loads((run / "run.json").read_text())
    assert written["config"]["sampler"] == "database"
    assert written["version"] == document["graph_version"]
    assert neo4j_server.url not in (run / "run.json").read_text()


@contextmanager
def events_arriving(store: GraphStore) -> Iterator[int]:
    """Another writer, for the time of a block: follows and unfollows of users old and new."""
    over = threading.Event()

    def write() -> None:
        step = 0
        while not over.wait(0.2):
            step += 1
            names = [f"u{number}" for number in np.random.default_rng(step).integers(0, 50, 12)]
            pairs = {(a, b) for a, b in zip(names[::2], names[1::2], strict=True) if a != b}
            facts = [follow(a, b, 2 * START + step, live=step % 2 == 0) for a, b in pairs]
            store.apply(batch_of(facts))

    begun = store.head().version
    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield begun
    finally:
        over.set()
        writer.join()
