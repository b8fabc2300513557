"""A generated network in which each objective can be learnt, and the same with nothing to learn.

A user's topic sets the words, the colours, the statistics and whom the user follows; people have
labelled each user with it. Networks of two seeds share these rules and nothing else, so that one
is held out from training on the other.
"""

from dataclasses import dataclass

import numpy as np

from graphdb.snapshot.snapshot import Snapshot, UserLabels
from tests.training.small_network import IMAGE_SIZE, NUM_TOKENS
from tests.training.snapshots import build_post_inputs, build_snapshot
from training.evaluation.user_texts import UserTexts
from training.inputs.post_inputs import PostInputs
from training.mmga.config import RunConfig
from training.mmga.training_data import TrainingData, training_data

TOPICS = ("water", "mountain", "music", "food")
WORDS_OF_TOPICS = (
    ("boat", "lake", "fish"),
    ("peak", "snow", "rope"),
    ("song", "band", "chord"),
    ("soup", "bread", "cake"),
)
NUM_JUDGED = 140
NUM_POSTS_OF_USER = 4
NUM_WORDS_OF_TOPIC = len(WORDS_OF_TOPICS[0])
NUM_WORDS_OF_POST = 8
FIRST_WORD = 5
COLOURS = np.array([[200, 0, 0], [0, 200, 0], [0, 0, 200], [200, 200, 200]])
LEVELS = np.array([1.0, 10.0, 100.0, 1000.0])


@dataclass(frozen=True, kw_only=True)
class Shuffled:
    """What has no regard to the topic; how often each value comes is the same."""

    words: bool = False
    colours: bool = False
    statistics: bool = False
    follows: bool = False


@dataclass(frozen=True, kw_only=True)
class LearnableNetwork:
    """The topic of each user, and what is learnt and judged from."""

    topics: np.ndarray
    snapshot: Snapshot
    inputs: PostInputs

    @property
    def texts(self) -> UserTexts:
        """The words of the posts; a biography of each topic."""
        numbers = self.inputs.tokens[:, 1 : 1 + NUM_WORDS_OF_POST] - FIRST_WORD
        words = np.ravel(WORDS_OF_TOPICS)[numbers]
        return UserTexts(
            posts=[" ".join(each) for each in words.reshape(len(self.topics), -1)],
            biographies=[f"likes {TOPICS[topic]}" for topic in self.topics],
        )


def learnable_data(config: RunConfig, seed: int, shuffled: Shuffled) -> TrainingData:
    """The network of a seed as a run reads it."""
    network = learnable_network(seed, shuffled=shuffled)
    return training_data(network.snapshot, network.inputs, config.graph.edges)


def judged_network(seed: int = 0) -> LearnableNetwork:
    """A network of two topics, which a representation is judged on."""
    return learnable_network(seed, num_users=NUM_JUDGED, num_topics=2)


def learnable_network(
    seed: int,
    *,
    num_users: int = 120,
    num_topics: int = len(TOPICS),
    shuffled: Shuffled = Shuffled(),
) -> LearnableNetwork:
    """The network of a seed."""
    rng = np.random.default_rng(seed)
    topics = rng.permutation(np.arange(num_users) % num_topics)
    others = rng.permutation(topics)
    levels = LEVELS[others if shuffled.statistics else topics][:, None]
    snapshot = build_snapshot(
        [f"user-{number:03d}" for number in range(num_users)],
        follows(topics, num_topics, shuffled, rng),
        statistics=levels * rng.uniform(0.8, 1.2, (num_users, 16)),
        posts_per_user=NUM_POSTS_OF_USER,
        labels={"topic": labels(topics)},
    )
    inputs = posts(np.repeat(topics, NUM_POSTS_OF_USER), shuffled, rng)
    return LearnableNetwork(topics=topics, snapshot=snapshot, inputs=inputs)


def labels(topics: np.ndarray) -> UserLabels:
    """Each user is labelled with the own topic."""
    return UserLabels(users=np.arange(len(topics)), labels=[(TOPICS[each],) for each in topics])


def follows(
    topics: np.ndarray, num_topics: int, shuffled: Shuffled, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Half of the pairs of one topic, few of two; shuffled, as many at random."""
    chance = np.where(topics[:, None] == topics[None, :], 0.5, 0.02)
    if shuffled.follows:
        chance = np.full(chance.shape, 0.02 + 0.48 / num_topics)
    u, v = np.nonzero((rng.random(chance.shape) < chance) & ~np.eye(len(topics), dtype=bool))
    return u, v


def posts(topics: np.ndarray, shuffled: Shuffled, rng: np.random.Generator) -> PostInputs:
    """Words and a colour of each post's topic."""
    num_posts = len(topics)
    of_words = np.repeat(topics[:, None], NUM_WORDS_OF_POST, 1)
    if shuffled.words:
        of_words = rng.permutation(of_words.ravel()).reshape(of_words.shape)
    words = of_words * NUM_WORDS_OF_TOPIC + rng.integers(0, NUM_WORDS_OF_TOPIC, of_words.shape)
    tokens = np.zeros((num_posts, NUM_TOKENS), np.int32)
    tokens[:, 0] = 2
    tokens[:, 1 : 1 + NUM_WORDS_OF_POST] = FIRST_WORD + words
    tokens[:, 1 + NUM_WORDS_OF_POST] = 3
    colours = COLOURS[rng.permutation(topics) if shuffled.colours else topics]
    noise = rng.integers(0, 50, (num_posts, 3, IMAGE_SIZE, IMAGE_SIZE))
    has = np.ones(num_posts, np.bool_)
    return build_post_inputs(
        tokens,
        colours[:, :, None, None] + noise,
        has_image=has,
        has_text=has,
        hashes=rng.integers(1, 2**63, num_posts).astype(np.uint64),
    )
