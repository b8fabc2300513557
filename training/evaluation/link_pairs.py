"""Link pairs: held-out follows, and the negatives among which they are ranked.

A pair of users belongs to a fold whether or not it is a follow. Follows are
compared with negatives of the same folds only, so a model that memorises the negatives of the other
folds gains nothing. No negative is a follow of any fold.

Shapes: N users, S sampled users, Q pairs, P follows, K negatives a follow.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from graphdb.adjacency import SnapshotGraph
from graphdb.folds import folds_of_pairs

MAX_USERS = 2_000
"""Follows into a sample of this many users are evaluated; in smaller graphs all are."""

MAX_FOLLOWS = 4_000
NUM_NEGATIVES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class PairUniverse:
    """All follows into a sample of users, and all negatives within it, each with its fold.

    Arrays (Q,): "does `followers` follow `followees`".
    """

    followers: NDArray[np.int64]
    followees: NDArray[np.int64]
    folds: NDArray[np.uint8]
    is_follow: NDArray[np.bool_]

    def of_folds(self, folds: Collection[int]) -> "PairUniverse":
        """The pairs of these folds."""
        kept = np.isin(self.folds, list(folds))
        return PairUniverse(
            followers=self.followers[kept],
            followees=self.followees[kept],
            folds=self.folds[kept],
            is_follow=self.is_follow[kept],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkPairs:
    """Follows with K negatives each of the same followee, and K of any.

    `follows` (P,), `same_followee` (P, K) and `uniform` (P, K) are positions in `followers` and
    `followees` (Q,), so that each pair is scored once, however often it is drawn.
    """

    followers: NDArray[np.int64]
    followees: NDArray[np.int64]
    follows: NDArray[np.int64]
    same_followee: NDArray[np.int64]
    uniform: NDArray[np.int64]
    num_without_negatives: int


def content_seed(graph: SnapshotGraph, seed: int, purpose: str) -> np.random.Generator:
    """Random numbers that depend on users, follows, seed and purpose only."""
    content = blake2b(f"{purpose} {seed} ".encode(), digest_size=16)
    for array in (graph.followees.user_keys, graph.followees.indptr, graph.followees.indices):
        content.update(np.ascontiguousarray(array).tobytes())
    return np.random.default_rng(int.from_bytes(content.digest(), "little"))


def pair_universe(
    graph: SnapshotGraph, user_ids: Sequence[str], rng: np.random.Generator
) -> PairUniverse:
    """Pairs of the whole graph (held-out follows included) around at most MAX_USERS users."""
    num_users = graph.num_nodes
    sample = np.sort(rng.permutation(num_users)[:MAX_USERS]).astype(np.int64)
    pairs = graph.followees.pairs()
    into = np.isin(pairs[:, 1], sample)
    u, v = (grid.ravel() for grid in np.meshgrid(sample, sample, indexing="ij"))
    negatives = (u != v) & ~graph.followees.contains(u, v)
    u, v = u[negatives], v[negatives]
    return PairUniverse(
        followers=np.concatenate([pairs[into, 0], u]).astype(np.int64),
        followees=np.concatenate([pairs[into, 1], v]).astype(np.int64),
        folds=np.concatenate([graph.followees.folds[into], folds_of_pairs(user_ids, u, v)]),
        is_follow=np.repeat([True, False], [int(into.sum()), len(u)]),
    )


def link_pairs(
    universe: PairUniverse,
    folds: Collection[int],
    rng: np.random.Generator,
    *,
    num_negatives: int = NUM_NEGATIVES,
) -> LinkPairs:
    """Follows of these folds, at most MAX_FOLLOWS, with `num_negatives` negatives of each kind.

    Where a followee has fewer negatives in these folds, some stand several times. A follow of a
    followee that has none is left out and counted.
    """
    pairs = universe.of_folds(folds)
    follows = np.flatnonzero(pairs.is_follow)
    follows = np.sort(rng.permutation(follows)[:MAX_FOLLOWS])
    negatives = np.flatnonzero(~pairs.is_follow)
    same = same_followee(pairs, follows, num_negatives, rng)
    kept = same[:, 0] >= 0
    drawn = (int(kept.sum()), num_negatives)
    uniform = negatives[rng.integers(0, max(len(negatives), 1), drawn)] if kept.any() else same
    return LinkPairs(
        followers=pairs.followers,
        followees=pairs.followees,
        follows=follows[kept],
        same_followee=same[kept],
        uniform=uniform[: drawn[0]],
        num_without_negatives=int((~kept).sum()),
    )


def same_followee(
    pairs: PairUniverse, follows: NDArray[np.int64], num: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Positions (P, num) of negatives of each follow's followee; -1 where it has none.

    They are distinct if there are enough.
    """
    negatives = np.flatnonzero(~pairs.is_follow)
    negatives = negatives[np.argsort(pairs.followees[negatives], kind="stable")]
    wanted = pairs.followees[follows]
    starts = np.searchsorted(pairs.followees[negatives], wanted)
    sizes = np.searchsorted(pairs.followees[negatives], wanted, side="right") - starts
    drawn = np.full((len(follows), num), -1, np.int64)
    for row, (start, size) in enumerate(zip(starts.tolist(), sizes.tolist(), strict=True)):
        if size:
            positions = rng.permutation(size) if size >= num else rng.integers(0, size, num)
            drawn[row] = negatives[start + positions[:num]]
    return drawn
