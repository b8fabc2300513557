"""Training pairs of heads, with counts in a graph without the follows among them.

Held-out follows are not in the graph, so a head must be trained on follows that are not in it
either. Therefore training follows are hidden slice by slice, and the pairs of each slice are
counted in the graph without that slice.

Shapes: B pairs, C counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graphdb.adjacency import SnapshotGraph
from graphdb.folds import HELD_OUT_FOLDS, NUM_FOLDS
from graphdb.pair_counts import pair_counts
from training.evaluation.link_pairs import PairUniverse, same_followee
from training.evaluation.truncated_svd import factors

FloatArray = NDArray[np.float32]

NUM_SLICES = 10
MAX_EXAMPLE_FOLLOWS = 30_000
NUM_OF_EACH_KIND = 2
"""Negatives of the same followee, and of any, for each follow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairExamples:
    """Pairs (B,) of the training folds with their counts (B, C), and whether they are follows.

    `svd_products` (B,) approximate the same graph, without the pair's slice, as `Factors` does.
    """

    followers: NDArray[np.int64]
    followees: NDArray[np.int64]
    counts: FloatArray
    is_follow: NDArray[np.bool_]
    svd_products: NDArray[np.float64]


def training_slices() -> list[list[int]]:
    """The training folds in NUM_SLICES slices."""
    folds = np.arange(len(HELD_OUT_FOLDS), NUM_FOLDS)
    return [part.tolist() for part in np.array_split(folds, NUM_SLICES)]


def pair_examples(
    graph: SnapshotGraph, universe: PairUniverse, rng: np.random.Generator
) -> PairExamples:
    """Follows of the training folds and negatives of both kinds, counted without their slice."""
    parts = [slice_examples(graph, universe, folds, rng) for folds in training_slices()]
    return PairExamples(
        followers=np.concatenate([part.followers for part in parts]),
        followees=np.concatenate([part.followees for part in parts]),
        counts=np.concatenate([part.counts for part in parts]),
        is_follow=np.concatenate([part.is_follow for part in parts]),
        svd_products=np.concatenate([part.svd_products for part in parts]),
    )


def slice_examples(
    graph: SnapshotGraph,
    universe: PairUniverse,
    folds: Sequence[int],
    rng: np.random.Generator,
) -> PairExamples:
    """The examples of one slice."""
    pairs = universe.of_folds(folds)
    follows = rng.permutation(np.flatnonzero(pairs.is_follow))[: MAX_EXAMPLE_FOLLOWS // NUM_SLICES]
    negatives = np.flatnonzero(~pairs.is_follow)
    same = same_followee(pairs, follows, NUM_OF_EACH_KIND, rng).ravel()
    num_uniform = len(follows) * NUM_OF_EACH_KIND if len(negatives) else 0
    uniform = negatives[rng.integers(0, max(len(negatives), 1), num_uniform)]
    chosen = np.concatenate([follows, same[same >= 0], uniform])
    followers, followees = pairs.followers[chosen], pairs.followees[chosen]
    hidden = graph.without_folds([*HELD_OUT_FOLDS, *folds])
    return PairExamples(
        followers=followers,
        followees=followees,
        counts=pair_counts(hidden, followers, followees),
        is_follow=pairs.is_follow[chosen],
        svd_products=factors(hidden).products(followers, followees),
    )
