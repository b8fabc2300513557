"""Baselines of fans prediction: what counting alone reaches on the same follows and negatives.

Shapes: B or Q pairs, C counts, N users, D singular vectors.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import svds

from graphdb.adjacency import SnapshotGraph
from graphdb.folds import HELD_OUT_FOLDS
from graphdb.pair_counts import COUNT_NAMES
from training.evaluation.link_head import PairExamples, training_slices
from training.evaluation.threads import one_thread
from training.evaluation.user_texts import UserTexts

FloatArray = NDArray[np.float32]

COUNT_BASELINES = {
    "directed two-paths": "two_paths",
    "co-follow": "common_followees",
    "Adamic-Adar": "adamic_adar",
    "preferential attachment": "preferential_attachment",
    "reciprocity": "reciprocity",
}

TEXT_BASELINE = "posts TF-IDF cosine"

NUM_SINGULAR = 16
BLOCK = 16_384
NUM_TREES = 100
TREE_LEARNING_RATE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Factors:
    """Truncated SVD of the follow matrix: the product of two rows is its approximation."""

    left: FloatArray  # (N, D)
    right: FloatArray  # (N, D)

    def products(
        self, followers: NDArray[np.int64], followees: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """The approximation (Q,) at these pairs."""
        return np.einsum("qd,qd->q", self.left[followers], self.right[followees], dtype=np.float64)


def factors(graph: SnapshotGraph) -> Factors:
    """Factors of the follows of this graph; zero where it has too few users or none."""
    num_users = graph.num_nodes
    num = min(NUM_SINGULAR, num_users - 1)
    pairs = graph.followees.pairs()
    if num < 1 or not len(pairs):
        nothing = np.zeros((num_users, 1), np.float32)
        return Factors(left=nothing, right=nothing)
    matrix = csr_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), (num_users, num_users))
    left, values, right = svds(matrix, k=num, rng=np.random.default_rng(0))
    root = np.sqrt(values)
    return Factors(left=(left * root).astype(np.float32), right=(right.T * root).astype(np.float32))


def text_cosine(
    texts: UserTexts, followers: NDArray[np.int64], followees: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Cosine (Q,) of the posts' TF-IDF of both ends."""
    matrix = csr_matrix(texts.post_tfidf)
    num_users = matrix.shape[0]
    keys, places = np.unique(followers * num_users + followees, return_inverse=True)
    u, v = np.divmod(keys, max(num_users, 1))
    cosines = np.empty(len(keys))
    for start in range(0, len(keys), BLOCK):
        rows = slice(start, start + BLOCK)
        product = matrix[u[rows]].multiply(matrix[v[rows]])
        cosines[rows] = np.asarray(product.sum(axis=1)).ravel()
    return cosines[places]


@one_thread()
def baseline_scores(
    graph: SnapshotGraph,
    texts: UserTexts,
    examples: PairExamples,
    followers: NDArray[np.int64],
    followees: NDArray[np.int64],
    counts: FloatArray,
    *,
    seed: int,
) -> dict[str, NDArray[np.floating]]:
    """Scores (Q,) of pairs by the name of each baseline.

    `counts` (Q, C) are those in the training graph. Gradient boosting learns from the same
    examples as the link head.
    """
    known = factors(graph.without_folds(HELD_OUT_FOLDS)).products(followers, followees)
    cosines = text_cosine(texts, followers, followees)
    scores: dict[str, NDArray[np.floating]] = {
        name: counts[:, COUNT_NAMES.index(column)] for name, column in COUNT_BASELINES.items()
    }
    boosted = boosting(graph, texts, examples, seed=seed)
    inputs = np.column_stack([counts, known, cosines])
    return {
        "gradient boosting over counts": boosted.predict_proba(inputs)[:, 1],
        "truncated SVD": known,
        **scores,
        TEXT_BASELINE: cosines,
    }


def boosting(graph: SnapshotGraph, texts: UserTexts, examples: PairExamples, *, seed: int) -> Any:
    """Gradient boosting over all counts, the SVD and the cosine of posts."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    products = np.empty(len(examples.slices))
    for number, folds in enumerate(training_slices()):
        rows = examples.slices == number
        hidden = graph.without_folds([*HELD_OUT_FOLDS, *folds])
        ends = (examples.followers[rows], examples.followees[rows])
        products[rows] = factors(hidden).products(*ends)
    cosines = text_cosine(texts, examples.followers, examples.followees)
    model = HistGradientBoostingClassifier(
        max_iter=NUM_TREES, learning_rate=TREE_LEARNING_RATE, random_state=seed
    )
    inputs = np.column_stack([examples.counts, products, cosines])
    return model.fit(inputs, examples.is_follow)
