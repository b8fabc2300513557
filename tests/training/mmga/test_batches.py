import dataclasses

import numpy as np
import pytest
import torch

from graphdb.folds import HELD_OUT_FOLDS, fold
from tests.training.small_network import small_config, small_data, small_network, with_phases
from training.mmga.batches import graph_batch, split_posts, user_batch
from training.mmga.message_gate import NodeInputs, rows
from training.mmga.trainer import Trainer
from training.mmga.training_data import TrainingData, signatures, training_data
from training.sampling.config import Edges
from training.sampling.negatives import draw_negatives
from training.sampling.snapshot_source import ends_of

EDGES: tuple[Edges, ...] = ("mutual", "follows")


def data_of(edges: Edges) -> TrainingData:
    return small_data(small_config(edges=edges))


def all_edges(data: TrainingData) -> tuple[np.ndarray, np.ndarray]:
    edges = data.source.follows[0]
    return ends_of(edges, np.arange(edges.num_edges))


def held_out_pairs() -> set[tuple[int, int]]:
    snapshot, _ = small_network()
    pairs = snapshot.graph.followees.pairs(HELD_OUT_FOLDS)
    return {(int(u), int(v)) for u, v in pairs}


@pytest.mark.parametrize("edges", EDGES)
def test_no_held_out_follow_is_an_edge_of_training(edges: Edges) -> None:
    data, held_out = data_of(edges), held_out_pairs()
    assert len(held_out) > 50
    for adjacency, backwards in zip(
        (data.source.graph.followees, data.source.graph.followers, data.source.graph.mutual),
        (False, True, None),
        strict=True,
    ):
        for u, v in adjacency.pairs().tolist():
            ways = {False: [(u, v)], True: [(v, u)], None: [(u, v), (v, u)]}[backwards]
            assert not held_out.intersection(ways)


@pytest.mark.parametrize("edges", EDGES)
def test_a_negative_is_no_true_edge_and_of_no_held_out_fold(edges: Edges) -> None:
    data = data_of(edges)
    whole = small_network()[0].graph.followees
    u, v = all_edges(data)
    not_u, not_v = draw_negatives(data.source, u, v, np.random.default_rng(0))
    assert len(not_u) > 0.9 * len(u)
    assert not whole.contains(not_u, not_v).any()
    assert (not_u != not_v).all()
    folds = [fold(f"user-{a}", f"user-{b}") for a, b in zip(not_u, not_v, strict=True)]
    assert not set(folds).intersection(HELD_OUT_FOLDS)
    if edges == "mutual":
        assert not whole.contains(not_v, not_u).any()


def test_half_of_the_negatives_follow_the_degrees() -> None:
    data = data_of("follows")
    u, v = all_edges(data)
    not_u, not_v = draw_negatives(data.source, u, v, np.random.default_rng(0))
    kept_one_end = np.isin(not_u * 1000, u * 1000) | np.isin(not_v, v)
    assert kept_one_end.mean() > 0.4


@pytest.mark.parametrize("edges", EDGES)
def test_a_graph_batch_hides_its_targets_from_its_own_messages(edges: Edges) -> None:
    config = small_config(edges=edges, fan_outs=(100, 100))
    data = small_data(config)
    batch = graph_batch(data, config, np.random.default_rng(0))
    assert 0 < batch.connected.sum() < len(batch.connected)
    signed = batch.connected.bool()
    targets = {
        frozenset(pair)
        for pair in zip(batch.u[signed].tolist(), batch.v[signed].tolist(), strict=True)
    }
    for block in batch.blocks:
        for neighbours, ends in zip(block.neighbours, block.targets, strict=True):
            edges_seen = zip(neighbours.tolist(), ends.tolist(), strict=True)
            assert not targets.intersection(frozenset(pair) for pair in edges_seen)


def test_no_follow_back_tells_negatives_from_connected_pairs() -> None:
    """A batch of follows: what a negative's v says of u is hidden as what a neighbour's does."""
    config = small_config(edges="follows", fan_outs=(64, 64))
    data = small_data(config)
    batch = graph_batch(data, config, np.random.default_rng(3))
    pairs = {
        (a, b)
        for u, v in zip(batch.users[batch.u].tolist(), batch.users[batch.v].tolist(), strict=True)
        for a, b in ((u, v), (v, u))
    }
    followees = data.source.graph.followees
    negatives = batch.connected == 0
    back = followees.contains(
        batch.users[batch.v[negatives]].numpy(), batch.users[batch.u[negatives]].numpy()
    )
    assert back.any()  # so there is something to hide
    users = batch.users.numpy()
    for block in batch.blocks:
        for neighbours, targets in zip(block.neighbours, block.targets, strict=True):
            messages = zip(users[neighbours].tolist(), users[targets].tolist(), strict=True)
            assert pairs.isdisjoint(messages)


@pytest.mark.parametrize("edges", EDGES)
def test_each_seed_of_a_user_batch_comes_with_a_neighbour_and_true_negatives(edges: Edges) -> None:
    config = small_config(edges=edges)
    data = small_data(config)
    whole = small_network()[0].graph.followees
    batch = user_batch(data, config, np.random.default_rng(0))
    sources, partners = batch.users[batch.sources].numpy(), batch.users[batch.partners].numpy()
    assert len(set(sources.tolist())) == len(sources) == config.phases.num_contrast_pairs
    edge = data.source.graph.followees.contains(sources, partners)
    back = data.source.graph.followees.contains(partners, sources)
    assert (edge | back if edges == "follows" else edge & back).all()
    candidates = np.concatenate([partners, batch.bank_users.numpy()])
    rows, columns = np.nonzero(batch.negatives.numpy())
    assert len(rows)
    assert not whole.contains(sources[rows], candidates[columns]).any()
    assert not whole.contains(candidates[columns], sources[rows]).any()
    assert not batch.negatives.numpy()[np.arange(len(sources)), np.arange(len(sources))].any()


@pytest.mark.parametrize("edges", EDGES)
def test_negatives_of_a_user_batch_are_those_of_every_pair_asked_alone(edges: Edges) -> None:
    config = small_config(edges=edges)
    data = small_data(config)
    batch = user_batch(data, config, np.random.default_rng(0))
    sources, partners = batch.users[batch.sources], batch.users[batch.partners]
    for anchors, candidates, mask in (
        (sources, torch.cat([partners, batch.bank_users]), batch.negatives),
        (partners, torch.cat([sources, batch.bank_users]), batch.negatives_back),
    ):
        for row, allowed in zip(anchors.tolist(), mask.tolist(), strict=True):
            for column, told in zip(candidates.tolist(), allowed, strict=True):
                u, v = np.array([row, column]), np.array([column, row])
                assert told == bool(data.source.allowed(u, v).all())


def test_captions_of_a_user_batch_stand_in_groups_of_like_length_with_their_owners() -> None:
    config = with_phases(small_config(), num_contrast_pairs=40, num_contrast_posts=4)
    snapshot, inputs = small_network()
    rng = np.random.default_rng(1)
    length = rng.integers(3, 13, len(inputs.tokens))
    inputs.tokens[:] = rng.integers(5, 65, inputs.tokens.shape)
    inputs.tokens[np.arange(inputs.tokens.shape[1]) >= length[:, None]] = 0
    inputs = dataclasses.replace(inputs, token_counts=length.astype(np.int32))
    data = training_data(snapshot, inputs, "mutual")
    batch = user_batch(data, config, np.random.default_rng(0))
    assert len(batch.tokens) == 4
    assert [group.shape[1] for group in batch.tokens] == [
        int((group != 0).sum(1).max()) for group in batch.tokens
    ]
    lengths = [(group != 0).sum(1) for group in batch.tokens]
    assert torch.cat(lengths).diff().min() == 0  # ascending
    captions: dict[tuple[int, ...], int] = {
        tuple(row[row != 0].tolist()): post // 4 for post, row in enumerate(inputs.tokens)
    }
    drawn = [tuple(row[row != 0].tolist()) for group in batch.tokens for row in group]
    owners = batch.users[batch.token_owners].tolist()
    assert [captions[row] for row in drawn] == owners
    posts_of = np.bincount(owners)
    assert (posts_of[np.unique(owners)] == 4).all()


def test_connected_pairs_reach_all_neighbours_of_all_relations() -> None:
    data = data_of("follows")
    seen: dict[int, set[int]] = {}
    rng = np.random.default_rng(0)
    for _ in range(300):
        for source, partner in zip(*data.source.connected(60, rng), strict=True):
            seen.setdefault(int(source), set()).add(int(partner))
    own = (
        data.source.graph.followees.neighbours(7).tolist()
        + data.source.graph.followers.neighbours(7).tolist()
    )
    assert seen[7] == set(own)


def test_newest_posts_come_first_and_samples_have_no_repeats() -> None:
    data = data_of("mutual")
    users = np.array([5, 0])
    posts, owners = data.texts.newest(users, 3)
    assert posts.tolist() == [20, 21, 22, 0, 1, 2]
    assert owners.tolist() == [0, 0, 0, 1, 1, 1]
    drawn, whose = data.texts.sample(users, 3, np.random.default_rng(0))
    assert len(set(drawn.tolist())) == 6
    assert (drawn // 4 == users[whose]).all()
    all_drawn = {
        post
        for seed in range(40)
        for post in data.texts.sample(users, 3, np.random.default_rng(seed))[0].tolist()
    }
    assert all_drawn == {0, 1, 2, 3, 20, 21, 22, 23}


def test_posts_of_one_content_are_all_held_out_or_none() -> None:
    snapshot, inputs = small_network(num_users=300)
    inputs = dataclasses.replace(
        inputs,
        caption_hashes=np.repeat(inputs.caption_hashes[::2], 2),
        image_hashes=np.where(inputs.pixel_rows >= 0, np.repeat(inputs.image_hashes[1::2], 2), 0),
    )
    data = training_data(snapshot, inputs, "mutual")
    training, judging = split_posts(data, held_out_share=0.2)

    def contents(posts: np.ndarray, hashes: np.ndarray) -> set[int]:
        return set(hashes[posts].tolist())

    for hashes, pools in (
        (inputs.caption_hashes, (training.captioned, judging.captioned)),
        (inputs.caption_hashes, (training.paired, judging.paired)),
        (inputs.image_hashes, (training.paired, judging.paired)),
    ):
        train, judge = (contents(pool, hashes) for pool in pools)
        assert train
        assert judge
        assert not train & judge


def test_signatures_are_a_function_of_the_key_and_nearly_orthogonal() -> None:
    keys = np.arange(200, dtype=np.uint64)
    vectors = signatures(keys, 100)
    assert vectors.shape == (200, 100)
    assert set(np.unique(vectors)) == {-1.0, 1.0}
    assert np.array_equal(signatures(keys[[7, 3]], 100), vectors[[7, 3]])
    products = vectors @ vectors.T / 100 - np.eye(200)
    assert np.abs(products).max() < 0.6
    assert signatures(keys, 0).shape == (200, 0)


def test_masked_nodes_are_a_share_of_all_and_the_same_seed_gives_the_same_batch() -> None:
    config = small_config()
    data = small_data(config)
    first, again = (graph_batch(data, config, np.random.default_rng(5)) for _ in range(2))
    assert torch.equal(first.u, again.u)
    assert torch.equal(first.masked, again.masked)
    assert 0 < first.masked.float().mean() < 0.4


def test_a_graph_step_reads_the_bank_when_it_computes_and_not_when_its_batch_is_drawn() -> None:
    config = small_config(edges="follows", signature_width=8)
    data = small_data(config)
    trainer = Trainer(config, data, seed=0)
    batch = graph_batch(data, config, np.random.default_rng(5))
    trainer.refresh_bank()
    users = batch.users.numpy()
    vectors = trainer.bank.read(batch.users)
    logs = torch.log1p(torch.from_numpy(data.statistics[users]))
    nodes = NodeInputs(
        statistics=(logs - trainer.model.statistics_mean) / trainer.model.statistics_scale,
        signature=torch.from_numpy(signatures(data.user_keys[users], 8)),
        image=vectors.image,
        text=vectors.text,
        has_image=vectors.has_image,
        has_text=vectors.has_text,
    )
    graph = trainer.model.graph(nodes, batch.blocks, batch.masked)
    feature = trainer.model.node_feature_modelling(
        graph, nodes.statistics[: len(graph)], batch.masked[: len(graph)]
    )
    structure = trainer.model.graph_structure_modelling(
        rows(graph, batch.u), rows(graph, batch.v), batch.connected
    )
    losses = trainer.model(batch, trainer.bank)
    assert nodes.has_text.any()
    assert torch.equal(losses["node_feature"], feature)
    assert torch.equal(losses["graph_structure"], structure)
