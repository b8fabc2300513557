"""A generated network in memory: communities that write, picture and follow alike."""

from dataclasses import replace

import numpy as np

from graphdb.snapshot.snapshot import Snapshot
from tests.training.snapshots import build_post_inputs, build_snapshot
from training.inputs.post_inputs import PostInputs
from training.mmga.config import GraphEncoderConfig, PhasesConfig, RunConfig
from training.mmga.training_data import TrainingData, training_data
from training.networks.config import ImageEncoderConfig, TextEncoderConfig

NUM_TOKENS = 12
NUM_WORDS = 60
IMAGE_SIZE = 16


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
) -> tuple[Snapshot, PostInputs]:
    rng = np.random.default_rng(seed)
    communities = np.arange(num_users) % num_communities
    snapshot = build_snapshot(
        [f"user-{number}" for number in range(num_users)],
        small_follows(communities, rng),
        statistics=small_statistics(communities, rng),
        mentions=small_mentions(num_users, seed),
        posts_per_user=posts_per_user,
    )
    return snapshot, small_posts(communities, posts_per_user, rng)


def small_follows(
    communities: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Followers and followees."""
    chance = np.where(communities[:, None] == communities[None, :], 0.6, 0.04)
    follows = rng.random(chance.shape) < chance
    np.fill_diagonal(follows, False)
    followers, followees = np.nonzero(follows)
    return followers, followees


def small_statistics(communities: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    levels = np.array([1.0, 20.0, 400.0])[communities][:, None]
    return levels * rng.uniform(0.8, 1.2, (len(communities), 16))


def small_mentions(num_users: int, seed: int) -> np.ndarray:
    """Distinct pairs (author, mentioned), some of them of one user alone."""
    rng = np.random.default_rng([seed, 1])
    return np.unique(rng.integers(0, num_users, (3 * num_users, 2)), axis=0)


def small_posts(
    communities: np.ndarray, posts_per_user: int, rng: np.random.Generator
) -> PostInputs:
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
    return build_post_inputs(tokens, pixels, has_image=has_image, has_text=~silent, hashes=hashes)


def small_data(config: RunConfig, **network: int) -> TrainingData:
    snapshot, inputs = small_network(**network)
    return training_data(snapshot, inputs, config.graph.edges)
