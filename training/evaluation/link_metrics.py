"""Metrics of directed link prediction ("fans prediction" in the paper) on held-out follows.

Each follow is ranked among negatives of the same followee, and among uniform negatives. Uniform
negatives alone would reward a model that knows only which users have many followers.

Shapes: Q pairs, P follows, K negatives a follow.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from training.evaluation.link_pairs import LinkPairs

LINK_METRICS = ("auc", "ap", "mrr", "hits_at_10")

Scorer = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.floating]]
"""Scores (Q,) of pairs (followers, followees); a higher score means a likelier follow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkMetrics:
    """Metrics of follows against their negatives.

    `ap` gives all negatives together the weight of the follows. `mrr` and `hits_at_10` rank each
    follow among its K negatives; equal scores share the middle rank.
    """

    auc: float
    ap: float
    mrr: float
    hits_at_10: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkReport:
    """Metrics against both kinds of negatives, and separately for cold-start followers."""

    same_followee: LinkMetrics
    uniform: LinkMetrics
    num_follows: int
    cold_start: LinkMetrics | None = None
    num_cold_start: int = 0


def link_report(
    pairs: LinkPairs,
    scores_Q: NDArray[np.floating],
    is_cold: NDArray[np.bool_] | None = None,
) -> LinkReport:
    """Metrics of scores of the pairs. `is_cold` (N,) marks users without a training follow.

    The same function evaluates models and baselines.
    """
    follows_P = scores_Q[pairs.follows]
    same_PK, uniform_PK = scores_Q[pairs.same_followee], scores_Q[pairs.uniform]
    cold_P = np.zeros(len(follows_P), np.bool_)
    if is_cold is not None:
        cold_P = is_cold[pairs.followers[pairs.follows]]
    return LinkReport(
        same_followee=link_metrics(follows_P, same_PK),
        uniform=link_metrics(follows_P, uniform_PK),
        num_follows=len(follows_P),
        cold_start=link_metrics(follows_P[cold_P], same_PK[cold_P]) if cold_P.any() else None,
        num_cold_start=int(cold_P.sum()),
    )


def link_metrics(
    follows_P: NDArray[np.floating], negatives_PK: NDArray[np.floating]
) -> LinkMetrics:
    """Metrics of follows against their negatives. Raises ValueError when there are none."""
    if not negatives_PK.size:
        raise ValueError("no follow to evaluate on")
    scores = np.concatenate([follows_P, negatives_PK.ravel()]).astype(np.float64)
    labels = np.repeat([1, 0], [len(follows_P), negatives_PK.size])
    weights = np.repeat([1.0, 1.0 / negatives_PK.shape[1]], [len(follows_P), negatives_PK.size])
    above = (negatives_PK > follows_P[:, None]).sum(axis=1)
    equal = (negatives_PK == follows_P[:, None]).sum(axis=1)
    ranks = 1 + above + equal / 2
    return LinkMetrics(
        auc=float(roc_auc_score(labels, scores)),
        ap=float(average_precision_score(labels, scores, sample_weight=weights)),
        mrr=float((1 / ranks).mean()),
        hits_at_10=float((ranks <= 10).mean()),
    )


def mean_auc(pairs: LinkPairs, scores_Q: NDArray[np.floating]) -> float:
    """The mean AUC over both kinds of negatives, the validation metric."""
    return sum(both_aucs(pairs, scores_Q)) / 2


def both_aucs(pairs: LinkPairs, scores_Q: NDArray[np.floating]) -> tuple[float, float]:
    """AUC against negatives of the same followee, and against uniform ones."""
    follows_P = scores_Q[pairs.follows]

    def auc(negatives_PK: NDArray[np.floating]) -> float:
        labels = np.repeat([1, 0], [len(follows_P), negatives_PK.size])
        return float(roc_auc_score(labels, np.concatenate([follows_P, negatives_PK.ravel()])))

    return auc(scores_Q[pairs.same_followee]), auc(scores_Q[pairs.uniform])
