"""Baselines of link prediction, scored on the same follows and negatives as the model.

Shapes: B or Q pairs, C counts, N users, D singular vectors.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from graphdb.adjacency import SnapshotGraph
from graphdb.folds import HELD_OUT_FOLDS
from graphdb.pair_counts import COUNT_NAMES
from training.evaluation.pair_examples import PairExamples
from training.evaluation.threads import one_thread
from training.evaluation.truncated_svd import factors
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

BLOCK = 16_384
NUM_TREES = 100
TREE_LEARNING_RATE = 0.1


def text_cosine(
    texts: UserTexts, followers: NDArray[np.int64], followees: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Cosine (Q,) of the posts' TF-IDF of both ends."""
    matrix = csr_matrix(texts.post_tfidf)
    num_users = matrix.shape[0]
    keys, positions = np.unique(followers * num_users + followees, return_inverse=True)
    u, v = np.divmod(keys, max(num_users, 1))
    cosines = np.empty(len(keys))
    for start in range(0, len(keys), BLOCK):
        rows = slice(start, start + BLOCK)
        product = matrix[u[rows]].multiply(matrix[v[rows]])
        cosines[rows] = np.asarray(product.sum(axis=1)).ravel()
    return cosines[positions]


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
    boosted = boosting(texts, examples, seed=seed)
    inputs = np.column_stack([counts, known, cosines])
    return {
        "gradient boosting over counts": boosted.predict_proba(inputs)[:, 1],
        "truncated SVD": known,
        **scores,
        TEXT_BASELINE: cosines,
    }


def boosting(texts: UserTexts, examples: PairExamples, *, seed: int) -> Any:
    """Gradient boosting over all counts, the SVD and the cosine of posts."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    cosines = text_cosine(texts, examples.followers, examples.followees)
    model = HistGradientBoostingClassifier(
        max_iter=NUM_TREES, learning_rate=TREE_LEARNING_RATE, random_state=seed
    )
    inputs = np.column_stack([examples.counts, examples.svd_products, cosines])
    return model.fit(inputs, examples.is_follow)
