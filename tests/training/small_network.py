"""A generated network in memory: communities that write, picture and follow alike."""

from dataclasses import dataclass, replace

import numpy as np

from graphdb.adjacency import SnapshotGraph, graph_of_follows
from graphdb.folds import folds_of_pairs
from graphdb.snapshot.id_column import IdColumn
from training.mmga.config import GraphEncoderConfig, PhasesConfig, RunConfig
from training.mmga.training_data import TrainingData, training_data
from training.networks.config import ImageEncoderConfig, TextEncoderConfig

NUM_TOKENS = 12
NUM_WORDS = 60
IMAGE_SIZE = 16


@dataclass
class SmallSnapshot:
    graph: SnapshotGraph
    user_ids: IdColumn
    user_keys: np.ndarray
    statistics: np.ndarray
    mentions: np.ndarray
    post_indptr: np.ndarray
    communities: np.ndarray


@dataclass
class SmallInputs:
    tokens: np.ndarray
    token_counts: np.ndarray
    pixel_rows: np.ndarray
    pixels: np.ndarray
    caption_hashes: np.ndarray
    image_hashes: np.ndarray


def small_config(**graph: object) -> RunConfig:
    """A run of seconds; keywords change the graph encoder."""
    options = {"width": 16, "fan_outs": (8, 8), "gate_width": 8} | graph
    return RunConfig(
        recipe="small",
        text=TextEncoderConfig(
            vocabulary_size=5 + NUM_WORDS,
            max_tokens=NUM_TOKENS,
            width=16,
            num_layers=1,
            num_heads=2,
            feedforward_width=32,
            dropout=0.0,
            initializer_range=0.25,
        ),
        image=ImageEncoderConfig(
            image_size=IMAGE_SIZE,
            patch_size=8,
            width=16,
            num_layers=1,
            num_heads=2,
            feedforward_width=32,
            initializer_range=0.25,
        ),
        graph=GraphEncoderConfig(**options),
        phases=PhasesConfig(
            num_phase0_steps=4,
            num_rounds=2,
            num_encoder_steps=3,
            num_graph_steps=3,
            num_lm_posts=16,
            num_alignment_pairs=16,
            num_contrast_pairs=12,
            num_contrast_posts=2,
            num_bank_negatives=16,
            num_edge_targets=64,
            num_inference_posts=8,
            encoder_learning_rate=3e-3,
            graph_learning_rate=1e-2,
            num_steps_per_checkpoint=4,
        ),
    )


def with_phases(config: RunConfig, **phases: object) -> RunConfig:
    return replace(config, phases=replace(config.phases, **phases))


def with_users(config: RunConfig, **users: object) -> RunConfig:
    return replace(config, users=replace(config.users, **users))


def with_objectives(config: RunConfig, **objectives: object) -> RunConfig:
    return replace(config, objectives=replace(config.objectives, **objectives))


def small_network(
    num_users: int = 60, num_communities: int = 3, posts_per_user: int = 4, seed: int = 0
) -> tuple[SmallSnapshot, SmallInputs]:
    rng = np.random.default_rng(seed)
    communities = np.arange(num_users) % num_communities
    snapshot = SmallSnapshot(
        graph=small_graph(communities, rng),
        user_ids=IdColumn.of(f"user-{number}" for number in range(num_users)),
        user_keys=rng.integers(0, 2**63, num_users).astype(np.uint64),
        statistics=small_statistics(communities, rng),
        mentions=small_mentions(num_users, seed),
        post_indptr=np.arange(0, num_users * posts_per_user + 1, posts_per_user),
        communities=communities,
    )
    return snapshot, small_posts(communities, posts_per_user, rng)


def small_graph(communities: np.ndarray, rng: np.random.Generator) -> SnapshotGraph:
    num_users = len(communities)
    chance = np.where(communities[:, None] == communities[None, :], 0.6, 0.04)
    follows = rng.random((num_users, num_users)) < chance
    np.fill_diagonal(follows, False)
    followers, followees = np.nonzero(follows)
    ids = [f"user-{number}" for number in range(num_users)]
    return graph_of_follows(
        num_users, followers, followees, folds_of_pairs(ids, followers, followees)
    )


def small_statistics(communities: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    levels = np.array([1.0, 20.0, 400.0])[communities][:, None]
    return (levels * rng.uniform(0.8, 1.2, (len(communities), 16))).astype(np.float32)


def small_mentions(num_users: int, seed: int) -> np.ndarray:
    """Distinct pairs (author, mentioned), some of them of one user alone."""
    rng = np.random.default_rng([seed, 1])
    return np.unique(rng.integers(0, num_users, (3 * num_users, 2)), axis=0).astype(np.int32)


def small_posts(
    communities: np.ndarray, posts_per_user: int, rng: np.random.Generator
) -> SmallInputs:
    """Words and colours of the author's community; a third of the posts have no image.

    Users 5, 15, 25, … have no image at all, users 7, 27, 47, … no words.
    """
    owners = np.repeat(communities, posts_per_user)
    users = np.repeat(np.arange(len(communities)), posts_per_user)
    num_posts = len(owners)
    words_per = NUM_WORDS // (communities.max() + 1)
    tokens = np.zeros((num_posts, NUM_TOKENS), np.int32)
    tokens[:, 0] = 2
    tokens[:, 1:9] = 5 + owners[:, None] * words_per + rng.integers(0, words_per, (num_posts, 8))
    tokens[:, 9] = 3
    silent = users % 20 == 7
    tokens[silent, 1], tokens[silent, 2:] = 3, 0
    has_image = (np.arange(num_posts) % 3 > 0) & (users % 10 != 5)
    pixels = rng.integers(0, 220, (has_image.sum(), 3, IMAGE_SIZE, IMAGE_SIZE)).astype(np.uint8)
    pixels[np.arange(len(pixels)), owners[has_image] % 3] += 30
    hashes = rng.integers(1, 2**63, num_posts).astype(np.uint64)
    return SmallInputs(
        tokens=tokens,
        token_counts=np.where(silent, 2, 10).astype(np.int32),
        pixel_rows=np.where(has_image, np.cumsum(has_image) - 1, -1).astype(np.int32),
        pixels=pixels,
        caption_hashes=np.where(silent, 0, hashes).astype(np.uint64),
        image_hashes=np.where(has_image, hashes + np.uint64(1), 0).astype(np.uint64),
    )


def small_data(config: RunConfig, **network: int) -> TrainingData:
    snapshot, inputs = small_network(**network)
    return training_data(snapshot, inputs, config.graph.edges)
