"""Layer by layer, users get the vectors that the expansion of every neighbourhood gives them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.rivals.seed_wise import seed_wise
from tests.training.small_network import (
    small_config,
    small_follows,
    small_mentions,
    small_posts,
    small_statistics,
    with_users,
)
from tests.training.snapshots import build_snapshot
from training.encoding.all_users import encode_posts
from training.mmga.config import RunConfig
from training.mmga.layer_wise import LayerEncoder
from training.mmga.model import MMGA
from training.mmga.recipes import paper_literal
from training.mmga.trainer import initial_model
from training.mmga.training_data import TrainingData, training_data
from training.mmga.user_vectors import DEFAULT, Chunks, PostVectors
from training.sampling.snapshot_source import SnapshotSource

NUM_USERS, NUM_ALONE, POSTS = 120, 6, 4
DIRECTED = {"edges": "follows", "fan_outs": (8, 5)}

CONFIGS = {
    "mutual": small_config(),
    "follows": small_config(**DIRECTED),
    "mentions": small_config(edges="follows+mentions", fan_outs=(8, 5)),
    "signature": small_config(**DIRECTED, signature_width=64),
    "three layers": small_config(edges="follows", fan_outs=(5, 3, 2)),
    "one layer": small_config(edges="follows", fan_outs=(5,)),
    "gated fusion": with_users(small_config(**DIRECTED), fusion="gated"),
    "concat gate": small_config(**DIRECTED, gate_input="concat"),
    "softmax": small_config(**DIRECTED, gate_normalisation="softmax"),
    "tanh": small_config(edges="follows+mentions", fan_outs=(8, 5), gate_normalisation="tanh"),
    "raw": small_config(**DIRECTED, gate_normalisation="raw"),
    "a gate a layer": small_config(edges="follows", fan_outs=(5, 3, 2), per_layer_gates=True),
    "one gate channel": small_config(**DIRECTED, per_relation_gates=False),
    "X alone": small_config(**DIRECTED, node_features="X"),
    "literal": paper_literal(small_config()),
}


def network(config: RunConfig) -> tuple[MMGA, TrainingData, SnapshotSource]:
    """User 0 is a hub, the last users follow nobody; some have no image, no words or no posts."""
    rng = np.random.default_rng(3)
    communities = np.arange(NUM_USERS) % 3
    followers, followees = small_follows(communities, rng)
    kept = np.maximum(followers, followees) < NUM_USERS - NUM_ALONE
    fans = np.arange(1, NUM_USERS - NUM_ALONE)
    pairs = np.column_stack([followers[kept], followees[kept]])
    hub = [np.column_stack([fans, 0 * fans]), np.column_stack([0 * fans, fans])]
    snapshot = build_snapshot(
        [f"user-{number}" for number in range(NUM_USERS)],
        tuple(np.unique(np.concatenate([pairs, *hub]), axis=0).T),
        statistics=small_statistics(communities, rng),
        mentions=small_mentions(NUM_USERS, 0),
        posts_per_user=POSTS,
    )
    indptr = snapshot.post_indptr.copy()
    indptr[9:13] = indptr[9]  # users 9 to 11 have no post
    snapshot = replace(snapshot, post_indptr=indptr)
    data = training_data(snapshot, small_posts(communities, POSTS, rng), config.graph.edges)
    model = initial_model(config, data, 0)
    disturb(model)
    return model, data, SnapshotSource(snapshot, config.graph.edges, without_folds=())


@torch.no_grad()
def disturb(model: MMGA) -> None:
    """Biases and replacements of what is missing begin at zero, which would hide them."""
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        if parameter.dim() == 1:
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)


def encode(
    model: MMGA,
    data: TrainingData,
    known: PostVectors,
    source: SnapshotSource,
    chunks: Chunks = DEFAULT,
) -> np.ndarray:
    return LayerEncoder(
        model=model, data=data, known=known, source=source, salt=b"g1", chunks=chunks
    ).encode()


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_vectors_are_those_of_expanded_neighbourhoods_bit_for_bit(config: RunConfig) -> None:
    model, data, everything = network(config)
    everyone = np.arange(NUM_USERS)
    known = encode_posts(model, data, everyone)
    assert not known.has_text[9:12].any()
    for source in (data.source, everything):
        expanded = seed_wise(model, data, known, source, users=everyone, salt=b"g1")
        assert np.array_equal(encode(model, data, known, source), expanded)
        assert np.isfinite(expanded).all()
        assert len(np.unique(expanded, axis=0)) > NUM_USERS // 2


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_ranges_and_blocks_change_vectors_by_rounding_only(config: RunConfig) -> None:
    model, data, source = network(config)
    known = encode_posts(model, data, np.arange(NUM_USERS))
    whole = encode(model, data, known, source)
    for num_users, num_seeds in ((11, 5), (64, 33)):
        chunks = Chunks(num_users=num_users, num_seeds=num_seeds)
        parts = encode(model, data, known, source, chunks)
        np.testing.assert_allclose(parts / abs(whole).max(), whole / abs(whole).max(), atol=1e-6)
