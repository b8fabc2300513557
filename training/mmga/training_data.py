"""The training data of a run: snapshot and post inputs, without held-out follows.

Shapes: N users, F statistics, P posts, S signature width.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foundation.splitmix64 import GOLDEN_GAMMA, splitmix64
from graphdb.snapshot.snapshot import Snapshot
from training.inputs.post_inputs import PostInputs
from training.sampling.config import Edges
from training.sampling.snapshot_source import SnapshotSource
from training.sampling.source import GraphSource

NUM_ENDS = 2
"""[CLS] and [SEP]: a caption of no more tokens is empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostLists:
    """Posts of each user that have one modality, newest first.

    Those of user u are `posts[indptr[u]:indptr[u + 1]]`.
    """

    indptr: NDArray[np.int64]
    posts: NDArray[np.int64]

    def newest(
        self, users: NDArray[np.int64], limit: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Up to `limit` posts of each user: (posts, positions of their owners in `users`)."""
        starts = self.indptr[users]
        counts = np.minimum(self.indptr[users + 1] - starts, limit)
        owners = np.repeat(np.arange(len(users)), counts)
        offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return self.posts[starts[owners] + offsets], owners

    def sample(
        self, users: NDArray[np.int64], limit: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Like `newest`, but drawn at random without replacement."""
        counts = self.indptr[users + 1] - self.indptr[users]
        owners = np.repeat(np.arange(len(users)), counts)
        posts, _ = self.newest(users, int(counts.max(initial=0)))
        order = np.lexsort((rng.random(len(posts)), owners))
        rank = np.arange(len(posts)) - np.repeat(np.cumsum(counts) - counts, counts)
        kept = np.sort(order[rank < limit])
        return posts[kept], owners[kept]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingData:
    """The snapshot that training reads; `source` contains no held-out follow."""

    statistics: NDArray[np.float32]
    user_keys: NDArray[np.uint64]
    source: GraphSource
    inputs: PostInputs
    texts: PostLists
    images: PostLists

    @property
    def num_users(self) -> int:
        """Number of users N."""
        return len(self.statistics)


def training_data(
    snapshot: Snapshot, inputs: PostInputs, edges: Edges, source: GraphSource | None = None
) -> TrainingData:
    """List the posts of each modality; without a source, edges come from the snapshot."""
    return TrainingData(
        statistics=np.asarray(snapshot.statistics),
        user_keys=np.asarray(snapshot.user_keys),
        source=SnapshotSource(snapshot, edges) if source is None else source,
        inputs=inputs,
        texts=posts_where(np.asarray(inputs.token_counts) > NUM_ENDS, snapshot.post_indptr),
        images=posts_where(np.asarray(inputs.pixel_rows) >= 0, snapshot.post_indptr),
    )


def posts_where(keep_P: NDArray[np.bool_], indptr: NDArray[np.int64]) -> PostLists:
    """The posts that `keep` keeps, by user."""
    before = np.concatenate(([0], np.cumsum(keep_P)))
    return PostLists(indptr=before[indptr], posts=np.flatnonzero(keep_P))


def signatures(user_keys: NDArray[np.uint64], width: int) -> NDArray[np.float32]:
    """A fixed pseudo-random vector (n, S) of -1 and 1 for each user key.

    Vectors of different users are nearly orthogonal, so their sum identifies its members.
    """
    with np.errstate(over="ignore"):
        words = np.arange(1, -(-width // 64) + 1, dtype=np.uint64) * GOLDEN_GAMMA
        mixed = splitmix64(user_keys[:, None] ^ splitmix64(words)[None, :])
    bits = np.unpackbits(np.ascontiguousarray(mixed).view(np.uint8), axis=1)[:, :width]
    return bits.astype(np.float32) * 2.0 - 1.0
