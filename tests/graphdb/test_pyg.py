import pickle

import numpy as np
import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.loader import LinkLoader, NodeLoader
from torch_geometric.nn import GraphSAGE
from torch_geometric.sampler import NegativeSampling

from graphdb.folds import HELD_OUT_FOLDS
from graphdb.sampling.pyg import SnapshotSampler
from graphdb.snapshot.snapshot import Snapshot, take_snapshot
from tests.graphdb import made_facts as made
from tests.graphdb.oracle import GraphOracle

NUM_USERS = 120
NUM_GROUPS = 3


def group(user: int) -> int:
    return user % NUM_GROUPS


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """Users who follow, nearly always, others of their own group."""
    rng = np.random.default_rng(0)
    pairs = {(int(u), int(v)) for u, v in rng.integers(0, NUM_USERS, (9_000, 2)) if u != v}
    kept = [(u, v) for u, v in pairs if group(u) == group(v) or rng.random() < 0.05]
    store = GraphOracle()
    store.apply(made.batch_of(made.follow(f"{u:03}", f"{v:03}", 1) for u, v in kept))
    return take_snapshot(store, tmp_path_factory.mktemp("snapshots"))


def edges(edge_index: torch.Tensor) -> set[tuple[int, int]]:
    return {(int(u), int(v)) for u, v in edge_index.T}


def node_loader(snapshot: Snapshot, x: torch.Tensor, num_workers: int = 0) -> NodeLoader:
    sampler = SnapshotSampler(snapshot, [5, 5])
    y = torch.arange(NUM_USERS) % NUM_GROUPS
    data = Data(x=x, y=y, edge_index=sampler.edge_index())
    return NodeLoader(data, sampler, batch_size=40, shuffle=True, num_workers=num_workers)


def trained_accuracy(snapshot: Snapshot, num_epochs: int) -> float:
    """How many users a GraphSAGE places in their group, from features that are noise."""
    torch.manual_seed(0)
    x = torch.randn(NUM_USERS, 16)
    loader = node_loader(snapshot, x)
    model = GraphSAGE(16, 32, num_layers=2, out_channels=NUM_GROUPS)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(num_epochs):
        for batch in loader:
            scores = model(batch.x, batch.edge_index)[: batch.batch_size]
            loss = torch.nn.functional.cross_entropy(scores, batch.y[: batch.batch_size])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    correct = 0
    with torch.no_grad():
        for batch in loader:
            scores = model(batch.x, batch.edge_index)[: batch.batch_size]
            correct += int((scores.argmax(dim=1) == batch.y[: batch.batch_size]).sum())
    return correct / NUM_USERS


def test_a_stock_node_loader_trains_a_stock_graphsage(snapshot: Snapshot) -> None:
    assert trained_accuracy(snapshot, num_epochs=0) < 0.6
    assert trained_accuracy(snapshot, num_epochs=25) > 0.9


def test_batches_hold_edges_of_the_training_graph_alone(snapshot: Snapshot) -> None:
    training = edges(torch.from_numpy(snapshot.mutual.without_folds(HELD_OUT_FOLDS).pairs()).T)
    assert training < edges(torch.from_numpy(snapshot.mutual.pairs()).T)
    everything = SnapshotSampler(snapshot, [5, 5]).edge_index()
    assert edges(everything) == training
    seeds: list[int] = []
    for batch in node_loader(snapshot, torch.zeros(NUM_USERS, 1)):
        found = batch.n_id[batch.edge_index]
        assert edges(found) <= training
        assert torch.equal(everything[:, batch.e_id], found)
        assert sum(batch.num_sampled_nodes) == batch.num_nodes
        assert sum(batch.num_sampled_edges) == batch.num_edges
        seeds += batch.n_id[: batch.batch_size].tolist()
    assert sorted(seeds) == list(range(NUM_USERS))


@pytest.mark.parametrize("direction", ["followers", "followees"])
def test_each_direction_can_be_sampled(snapshot: Snapshot, direction: str) -> None:
    sampler = SnapshotSampler(snapshot, [-1], direction=direction, without_folds=())  # type: ignore[arg-type]
    expected = edges(torch.from_numpy(getattr(snapshot, direction).pairs()).T)
    assert {(v, u) for u, v in edges(sampler.edge_index())} == expected
    data = Data(num_nodes=NUM_USERS, edge_index=torch.empty((2, 0), dtype=torch.long))
    batch = next(iter(NodeLoader(data, sampler, batch_size=NUM_USERS)))
    assert {(v, u) for u, v in edges(batch.n_id[batch.edge_index])} == expected


def test_draws_repeat_with_torch_s_seed_and_differ_between_epochs(snapshot: Snapshot) -> None:
    def epochs() -> list[list[int]]:
        torch.manual_seed(7)
        loader = node_loader(snapshot, torch.zeros(NUM_USERS, 1))
        return [[int(e) for batch in loader for e in batch.e_id] for _ in range(2)]

    first, second = epochs()
    assert [first, second] == epochs()
    assert first != second


@pytest.mark.parametrize(
    ("context", "num_workers"), [("fork", 2), pytest.param("spawn", 1, marks=pytest.mark.slow)]
)
def test_workers_sample_what_one_process_does(
    snapshot: Snapshot, context: str, num_workers: int
) -> None:
    sampler = SnapshotSampler(snapshot, [-1, -1])
    data = Data(num_nodes=NUM_USERS, edge_index=torch.empty((2, 0), dtype=torch.long))
    alone = list(NodeLoader(data, sampler, batch_size=30))
    shared = list(
        NodeLoader(
            data, sampler, batch_size=30, num_workers=num_workers, multiprocessing_context=context
        )
    )
    assert len(alone) == len(shared) == 4
    for one, other in zip(alone, shared, strict=True):
        assert torch.equal(one.n_id, other.n_id)
        assert torch.equal(one.edge_index, other.edge_index)


def test_workers_draw_differently(snapshot: Snapshot) -> None:
    sampler = SnapshotSampler(snapshot, [3])
    data = Data(num_nodes=NUM_USERS, edge_index=torch.empty((2, 0), dtype=torch.long))
    same_seeds = torch.arange(20).repeat(4)
    loader = NodeLoader(data, sampler, input_nodes=same_seeds, batch_size=20, num_workers=2)
    drawn = {tuple(batch.e_id.tolist()) for batch in loader}
    assert len(drawn) == 4


def test_a_pickled_sampler_is_its_path_and_options(snapshot: Snapshot) -> None:
    sampler = SnapshotSampler(snapshot, [4], direction="followers", without_folds=range(3))
    packed = pickle.dumps(sampler)
    assert len(packed) < 1_000
    again: SnapshotSampler = pickle.loads(packed)
    assert np.array_equal(again.adjacency.indices, sampler.adjacency.indices)


@pytest.mark.parametrize("mode", ["binary", "triplet"])
def test_a_stock_link_loader_samples_both_ends_and_negatives(snapshot: Snapshot, mode: str) -> None:
    sampler = SnapshotSampler(snapshot, [4, 4])
    edge_index = sampler.edge_index()
    data = Data(num_nodes=NUM_USERS, edge_index=edge_index)
    loader = LinkLoader(
        data,
        sampler,
        edge_label_index=edge_index[:, ::7],
        neg_sampling=NegativeSampling(mode, amount=1),
        batch_size=32,
    )
    positives: list[tuple[int, int]] = []
    for batch in loader:
        assert edges(batch.n_id[batch.edge_index]) <= edges(edge_index)
        if mode == "binary":
            asked = batch.n_id[batch.edge_label_index]
            assert asked.size(1) == len(batch.edge_label)
            positive = asked[:, batch.edge_label == 1]
            assert positive.size(1) * 2 == asked.size(1)
        else:
            ends = batch.n_id[batch.src_index], batch.n_id[batch.dst_pos_index]
            positive = torch.stack(ends)
            assert len(batch.dst_neg_index) == positive.size(1)
        positives += [(int(u), int(v)) for u, v in positive.T]
    assert positives == [(int(u), int(v)) for u, v in edge_index[:, ::7].T]


def test_times_are_refused(snapshot: Snapshot) -> None:
    sampler = SnapshotSampler(snapshot, [1])
    data = Data(num_nodes=NUM_USERS, edge_index=torch.empty((2, 0), dtype=torch.long))
    times = torch.zeros(NUM_USERS, dtype=torch.long)
    with pytest.raises(ValueError, match="pass no time"):
        next(iter(NodeLoader(data, sampler, input_nodes=torch.arange(3), input_time=times)))
