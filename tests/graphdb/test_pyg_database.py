"""The sampler over a live graph draws for PyG's loaders what the snapshot's does."""

import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.loader import LinkLoader, NodeLoader
from torch_geometric.sampler import NegativeSampling, NodeSamplerInput

from graphdb import open_graph
from graphdb.sampling.pyg import DatabaseSampler, FollowSampler, SnapshotSampler
from graphdb.snapshot.snapshot import Snapshot, take_snapshot
from graphdb.store import GraphStore
from tests.graphdb.made_facts import batch_of, follow, unfollow
from tests.graphdb.neo4j_database import TestDatabase
from tests.graphdb.sampling_rules import excess

NUM_USERS = 60
EMPTY = torch.empty((2, 0), dtype=torch.long)


@dataclass
class Graph:
    url: str
    store: GraphStore
    snapshot: Snapshot

    def sampler(self, fan_outs: list[int], **options: object) -> DatabaseSampler:
        return DatabaseSampler(self.url, self.snapshot.user_ids, fan_outs, **options)


@pytest.fixture(params=["sqlite", pytest.param("neo4j", marks=pytest.mark.servers("Neo4j"))])
def graph(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Graph]:
    url = f"sqlite:///{tmp_path / 'graph.db'}"
    if request.param == "neo4j":
        database: TestDatabase = request.getfixturevalue("database")
        store, url = database.open(), database.url
    else:
        store = open_graph(url)
    rng = np.random.default_rng(0)
    liked = np.linspace(0.1, 0.9, NUM_USERS)
    pairs = np.argwhere(rng.random((NUM_USERS, NUM_USERS)) < liked[:, None] * liked)
    store.apply(batch_of(follow(f"{u:02}", f"{v:02}", 1) for u, v in pairs if u != v))
    yield Graph(url, store, take_snapshot(store, tmp_path / "snapshots"))
    store.close()


def edges(edge_index: torch.Tensor) -> set[tuple[int, int]]:
    return {(int(u), int(v)) for u, v in edge_index.T}


def sampled(sampler: FollowSampler, seeds: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """How often each user is reached, and how often each edge, from seeds one at a time."""
    torch.manual_seed(1)
    nodes = np.zeros(NUM_USERS, dtype=np.int64)
    pairs = np.zeros((NUM_USERS, NUM_USERS), dtype=np.int64)
    for seed in seeds.split(1):
        out = sampler.sample_from_nodes(NodeSamplerInput(input_id=None, node=seed))
        assert out.node[0] == seed
        assert len(set(out.node.tolist())) == len(out.node)
        nodes[out.node] += 1
        np.add.at(pairs, (out.node[out.row], out.node[out.col]), 1)
    return nodes, pairs


@pytest.mark.parametrize("direction", ["mutual", "followers"])
def test_two_hops_are_distributed_as_the_snapshot_s(graph: Graph, direction: str) -> None:
    sampler = graph.sampler([3, 2], direction=direction)
    rival = SnapshotSampler(graph.snapshot, [3, 2], direction=direction)  # type: ignore[arg-type]
    assert edges(sampler.edge_index()) == edges(rival.edge_index())
    degrees = rival.adjacency.degrees()
    hub = torch.full((300,), int(degrees.argmax()))
    (nodes, pairs), (their_nodes, their_pairs) = sampled(sampler, hub), sampled(rival, hub)
    assert set(zip(*np.nonzero(pairs), strict=True)) <= edges(rival.edge_index())
    first = pairs[:, hub[0]][rival.adjacency.neighbours(int(hub[0]))]
    assert excess(first, 3 / len(first), 300) < 2.2
    # Two samples of one distribution: the squared difference is about the sum.
    reached = (nodes + their_nodes > 0) & (np.arange(NUM_USERS) != int(hub[0]))
    spread = (nodes - their_nodes)[reached] ** 2 / (nodes + their_nodes)[reached]
    assert spread.mean() < 2.2
    assert abs(pairs.sum() - their_pairs.sum()) < 0.05 * their_pairs.sum()
    sampler.close()


def test_a_fan_out_that_takes_all_is_the_snapshot_s_subgraph(graph: Graph) -> None:
    sampler, rival = graph.sampler([-1, -1]), SnapshotSampler(graph.snapshot, [-1, -1])
    data = Data(num_nodes=NUM_USERS, edge_index=EMPTY)
    for mine, theirs in zip(
        NodeLoader(data, sampler, batch_size=20),
        NodeLoader(data, rival, batch_size=20),
        strict=True,
    ):
        assert set(mine.n_id.tolist()) == set(theirs.n_id.tolist())
        assert edges(mine.n_id[mine.edge_index]) == edges(theirs.n_id[theirs.edge_index])
        assert mine.num_sampled_nodes == theirs.num_sampled_nodes
        assert mine.num_sampled_edges == theirs.num_sampled_edges
    sampler.close()


def test_workers_open_the_graph_for_themselves(graph: Graph) -> None:
    sampler = graph.sampler([-1])
    data = Data(num_nodes=NUM_USERS, edge_index=EMPTY)
    alone = list(NodeLoader(data, sampler, batch_size=30))
    shared = list(NodeLoader(data, sampler, batch_size=30, num_workers=2))
    for one, other in zip(alone, shared, strict=True):
        assert edges(one.n_id[one.edge_index]) == edges(other.n_id[other.edge_index])
    again = pickle.loads(pickle.dumps(sampler))
    sampler.close()
    assert edges(again.edge_index()) == edges(sampler.edge_index())
    again.close()
    sampler.close()


def test_what_is_committed_is_seen_and_newcomers_are_left_out(graph: Graph) -> None:
    sampler = graph.sampler([-1], direction="followees", without_folds=())
    data = Data(num_nodes=NUM_USERS, edge_index=EMPTY)
    store = graph.store
    store.apply(batch_of([follow("00", "new", 5), follow("00", "07", 5)]))
    store.apply(batch_of([unfollow("01", f"{number:02}", 5) for number in range(NUM_USERS)]))
    batch = next(iter(NodeLoader(data, sampler, input_nodes=torch.tensor([0, 1]), batch_size=2)))
    found = {(int(v), int(u)) for u, v in batch.n_id[batch.edge_index].T}
    users = list(graph.snapshot.user_ids)
    expected = {
        (0, users.index(name)) for name in store.neighbours("00", "followees") if name != "new"
    }
    assert found == expected
    assert (0, 7) in found
    assert max(batch.n_id.tolist()) < NUM_USERS
    sampler.close()


def test_a_stock_link_loader_draws_around_both_ends(graph: Graph) -> None:
    sampler = graph.sampler([4, 2])
    edge_index = sampler.edge_index()
    data = Data(num_nodes=NUM_USERS, edge_index=edge_index)
    torch.manual_seed(0)
    loader = LinkLoader(
        data,
        sampler,
        edge_label_index=edge_index[:, ::9],
        neg_sampling=NegativeSampling("binary", amount=1),
        batch_size=32,
    )
    positives: list[tuple[int, int]] = []
    for batch in loader:
        assert edges(batch.n_id[batch.edge_index]) <= edges(edge_index)
        asked = batch.n_id[batch.edge_label_index]
        positives += [(int(u), int(v)) for u, v in asked[:, batch.edge_label == 1].T]
    assert positives == [(int(u), int(v)) for u, v in edge_index[:, ::9].T]
    sampler.close()
