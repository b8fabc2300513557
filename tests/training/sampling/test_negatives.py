"""Two-hop negatives, and mentions as relations."""

from dataclasses import replace

import numpy as np

from tests.training.small_network import small_config, small_data, small_network
from training.mmga.batches import graph_batch
from training.sampling.negatives import draw_negatives
from training.sampling.snapshot_source import SnapshotSource, ends_of


def share_within_two_hops(source: SnapshotSource, hard: str) -> float:
    """Of the negatives that are not uniform, how many are neighbours of a neighbour."""
    rows = source.follows[0]
    follows = np.zeros((source.num_users, source.num_users), dtype=np.int64)
    follows[rows.rows(), rows.indices] = 1
    u, v = ends_of(rows, np.arange(1, rows.num_edges, 2))
    rng = np.random.default_rng(0)
    found = [draw_negatives(source, u, v, rng, hard=hard) for _ in range(3)]
    not_u, not_v = (np.concatenate(each) for each in zip(*found, strict=True))
    assert source.allowed(not_u, not_v).all()
    return float(((follows @ follows)[not_u, not_v] > 0).mean())


def sparse_source(edges: str) -> SnapshotSource:
    """Few follows, so that most pairs of users are far from each other."""
    snapshot, _ = small_network(num_users=120)
    kept = snapshot.graph.without_folds(range(15, 70))
    return SnapshotSource(replace(snapshot, graph=kept), edges)


def test_two_hop_negatives_are_neighbours_of_neighbours() -> None:
    for edges in ("follows", "mutual"):
        source = sparse_source(edges)
        near, by_degree = (share_within_two_hops(source, hard) for hard in ("two_hop", "degree"))
        assert near > by_degree + 0.2


def test_mentions_are_two_relations_more_and_nobody_mentions_self() -> None:
    snapshot, _ = small_network()
    source = SnapshotSource(snapshot, "mutual+mentions")
    assert (source.num_relations, source.num_follow_relations) == (3, 1)
    mentions, mentioned_by = source.relations[1:]
    pairs = {(int(a), int(b)) for a, b in snapshot.mentions if a != b}
    assert len(pairs) < len(snapshot.mentions)
    assert {(int(a), int(b)) for a, b in mentions.pairs()} == pairs
    assert {(int(b), int(a)) for a, b in mentioned_by.pairs()} == pairs


def test_a_batch_hides_follows_of_its_targets_and_keeps_their_mentions() -> None:
    config = small_config(edges="follows+mentions", fan_outs=(100, 100))
    data = small_data(config)
    batch = graph_batch(data, config, np.random.default_rng(0))
    signed = batch.connected.bool()
    targets = {
        frozenset(pair)
        for pair in zip(batch.u[signed].tolist(), batch.v[signed].tolist(), strict=True)
    }
    seen: list[set[frozenset[int]]] = [set() for _ in range(4)]
    for block in batch.blocks:
        assert len(block.neighbours) == config.graph.num_relations == 4
        for edges, neighbours, ends in zip(seen, block.neighbours, block.targets, strict=True):
            edges |= {
                frozenset(pair) for pair in zip(neighbours.tolist(), ends.tolist(), strict=True)
            }
    assert not targets & (seen[0] | seen[1])
    assert targets & seen[2] & seen[3]
