"""The difference of two AUCs on the same link pairs, and its standard error.

AUC is the mean of *placement values*: V_i, the share of negatives below follow i (half of those
equal to it), and W_j, the share of follows above negative j. A difference of two AUCs is the mean
of the differences of these values, so its variance is that of sums over independent clusters
(Obuchowski 1997, "Nonparametric analysis of clustered ROC curve data", after DeLong et al. 1988):

    d_c = sum_{i in c} (V_i - V'_i - D) / P + sum_{j in c} (W_j - W'_j - D) / M
    var(D) = C / (C - 1) * sum_c d_c^2

A cluster is a followee: its follows and its negatives are not independent of each other.

Shapes: Q pairs, P follows, M negatives, C clusters.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.evaluation.link_pairs import LinkPairs

KINDS = ("same_followee", "uniform")
"""The kinds of negatives, as LinkPairs names them."""

Scores = NDArray[np.floating]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedDifference:
    """AUC of one method minus that of another, and the standard error of the difference."""

    auc: float
    other_auc: float
    standard_error: float

    @property
    def difference(self) -> float:
        """Positive where the first method is better."""
        return self.auc - self.other_auc


def paired_differences(
    pairs: LinkPairs, scores_Q: Scores, other_Q: Scores
) -> Mapping[str, PairedDifference]:
    """The differences against negatives of the same followee, and against uniform ones."""
    return {
        kind: paired_difference(pairs, getattr(pairs, kind).ravel(), scores_Q, other_Q)
        for kind in KINDS
    }


def paired_difference(
    pairs: LinkPairs, negatives_M: NDArray[np.int64], scores_Q: Scores, other_Q: Scores
) -> PairedDifference:
    """The difference on the follows of the pairs and these negatives (positions in the pairs)."""
    follows = pairs.follows
    own = placements(scores_Q[follows], scores_Q[negatives_M])
    other = placements(other_Q[follows], other_Q[negatives_M])
    auc, other_auc = float(own[0].mean()), float(other[0].mean())
    moved = [mine - its - (auc - other_auc) for mine, its in zip(own, other, strict=True)]
    clusters = np.concatenate([pairs.followees[follows], pairs.followees[negatives_M]])
    shares = np.concatenate([each / len(each) for each in moved])
    sums_C = np.bincount(np.unique(clusters, return_inverse=True)[1], weights=shares)
    correction = len(sums_C) / max(len(sums_C) - 1, 1)
    return PairedDifference(
        auc=auc,
        other_auc=other_auc,
        standard_error=float(np.sqrt(correction * np.square(sums_C).sum())),
    )


def placements(
    follows_P: Scores, negatives_M: Scores
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """V (P,), the share of negatives below each follow, and W (M,), that of follows above each
    negative; equal scores count half."""
    return shares_below(follows_P, negatives_M), 1 - shares_below(negatives_M, follows_P)


def shares_below(values: Scores, others: Scores) -> NDArray[np.float64]:
    """The share of the others that is below each value, half of those equal to it included."""
    ordered = np.sort(others)
    below = np.searchsorted(ordered, values, side="left")
    not_above = np.searchsorted(ordered, values, side="right")
    return np.asarray((below + not_above) / (2 * len(ordered)))
