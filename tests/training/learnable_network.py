"""A generated network in which each objective can be learnt, and the same with nothing to learn.

A user's topic sets the words, the colours, the statistics and whom the user follows. Networks of
two seeds share these rules and nothing else, so that one is held out from training on the other.
"""

from dataclasses import dataclass

import numpy as np

from graphdb.adjacency import SnapshotGraph, graph_of_follows
from graphdb.folds import folds_of_pairs
from graphdb.snapshot.id_column import IdColumn
from tests.training.small_network import IMAGE_SIZE, NUM_TOKENS, SmallInputs, SmallSnapshot
from training.mmga.config import RunConfig
from training.mmga.training_data import TrainingData, training_data

NUM_USERS = 120
NUM_TOPICS = 4
NUM_POSTS_OF_USER = 4
NUM_WORDS_OF_TOPIC = 3
NUM_WORDS_OF_POST = 8
COLOURS = np.array([[200, 0, 0], [0, 200, 0], [0, 0, 200], [200, 200, 200]])
LEVELS = np.array([1.0, 10.0, 100.0, 1000.0])


@dataclass(frozen=True, kw_only=True)
class Shuffled:
    """What has no regard to the topic; how often each value comes is the same."""

    words: bool = False
    colours: bool = False
    statistics: bool = False
    follows: bool = False


def learnable_data(config: RunConfig, seed: int, shuffled: Shuffled) -> TrainingData:
    """The network of a seed as a run reads it."""
    rng = np.random.default_rng(seed)
    topics = rng.permutation(np.arange(NUM_USERS) % NUM_TOPICS)
    others = rng.permutation(topics)
    levels = LEVELS[others if shuffled.statistics else topics][:, None]
    snapshot = SmallSnapshot(
        graph=follows(None if shuffled.follows else topics, rng),
        user_ids=IdColumn.of(f"user-{number}" for number in range(NUM_USERS)),
        user_keys=rng.integers(0, 2**63, NUM_USERS).astype(np.uint64),
        statistics=(levels * rng.uniform(0.8, 1.2, (NUM_USERS, 16))).astype(np.float32),
        mentions=np.zeros((0, 2), np.int32),
        post_indptr=np.arange(NUM_USERS + 1) * NUM_POSTS_OF_USER,
        communities=topics,
    )
    inputs = posts(np.repeat(topics, NUM_POSTS_OF_USER), shuffled, rng)
    return training_data(snapshot, inputs, config.graph.edges)


def follows(topics: np.ndarray | None, rng: np.random.Generator) -> SnapshotGraph:
    """Half of the pairs of one topic, few of two; of no topics, as many at random."""
    chance = np.full((NUM_USERS, NUM_USERS), 0.02 + 0.48 / NUM_TOPICS)
    if topics is not None:
        chance = np.where(topics[:, None] == topics[None, :], 0.5, 0.02)
    u, v = np.nonzero((rng.random(chance.shape) < chance) & ~np.eye(NUM_USERS, dtype=bool))
    ids = [f"user-{number}" for number in range(NUM_USERS)]
    return graph_of_follows(NUM_USERS, u, v, folds_of_pairs(ids, u, v))


def posts(topics: np.ndarray, shuffled: Shuffled, rng: np.random.Generator) -> SmallInputs:
    """Words and a colour of each post's topic."""
    num_posts = len(topics)
    of_words = np.repeat(topics[:, None], NUM_WORDS_OF_POST, 1)
    if shuffled.words:
        of_words = rng.permutation(of_words.ravel()).reshape(of_words.shape)
    words = of_words * NUM_WORDS_OF_TOPIC + rng.integers(0, NUM_WORDS_OF_TOPIC, of_words.shape)
    tokens = np.zeros((num_posts, NUM_TOKENS), np.int32)
    tokens[:, 0] = 2
    tokens[:, 1 : 1 + NUM_WORDS_OF_POST] = 5 + words
    tokens[:, 1 + NUM_WORDS_OF_POST] = 3
    colours = COLOURS[rng.permutation(topics) if shuffled.colours else topics]
    noise = rng.integers(0, 50, (num_posts, 3, IMAGE_SIZE, IMAGE_SIZE))
    hashes = rng.integers(1, 2**63, num_posts).astype(np.uint64)
    return SmallInputs(
        tokens=tokens,
        token_counts=np.full(num_posts, NUM_WORDS_OF_POST + 2, np.int32),
        pixel_rows=np.arange(num_posts, dtype=np.int32),
        pixels=(colours[:, :, None, None] + noise).astype(np.uint8),
        caption_hashes=hashes,
        image_hashes=hashes + np.uint64(1),
    )
