"""The difference of two AUCs, and how far chance moves it."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from training.evaluation.link_pairs import LinkPairs
from training.evaluation.paired_auc import paired_difference, paired_differences

NUM_FOLLOWEES, NUM_EACH, NUM_NEGATIVES = 60, 4, 8


def made_pairs(rng: np.random.Generator) -> LinkPairs:
    """Follows of 60 followees, four each, with eight negatives of the same followee."""
    num_follows = NUM_FOLLOWEES * NUM_EACH
    num_negatives = num_follows * NUM_NEGATIVES
    follows = np.arange(num_follows)
    negatives = num_follows + np.arange(num_negatives)
    followees = np.repeat(np.arange(NUM_FOLLOWEES), NUM_EACH)
    return LinkPairs(
        followers=rng.integers(0, 1_000, num_follows + num_negatives),
        followees=np.concatenate([followees, np.repeat(followees, NUM_NEGATIVES)]),
        follows=follows,
        same_followee=negatives.reshape(num_follows, NUM_NEGATIVES),
        uniform=rng.permutation(negatives).reshape(num_follows, NUM_NEGATIVES),
        num_without_negatives=0,
    )


def made_scores(
    rng: np.random.Generator, pairs: LinkPairs
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two methods that share the good and the bad luck of a followee; the first is better."""
    of_followee = rng.standard_normal(NUM_FOLLOWEES)[pairs.followees]
    shared = 0.5 * rng.standard_normal(len(pairs.followees))
    is_follow = np.isin(np.arange(len(pairs.followees)), pairs.follows)
    better, worse = (
        shared + is_follow * (mean + 0.5 * of_followee) + 0.7 * rng.standard_normal(len(is_follow))
        for mean in (1.2, 0.9)
    )
    return better, worse


def auc(scores: NDArray[np.float64], follows: object, negatives: object) -> float:
    chosen = np.concatenate([scores[follows], scores[negatives]])
    return float(roc_auc_score([1] * np.size(follows) + [0] * np.size(negatives), chosen))


def test_both_are_the_usual_auc() -> None:
    rng = np.random.default_rng(0)
    pairs = made_pairs(rng)
    scores, others = (np.round(each, 1) for each in made_scores(rng, pairs))  # with ties
    found = paired_differences(pairs, scores, others)
    for kind, difference in found.items():
        negatives = getattr(pairs, kind).ravel()
        assert difference.auc == pytest.approx(auc(scores, pairs.follows, negatives))
        assert difference.other_auc == pytest.approx(auc(others, pairs.follows, negatives))


def test_scores_that_rank_alike_do_not_differ() -> None:
    rng = np.random.default_rng(1)
    pairs = made_pairs(rng)
    scores, _ = made_scores(rng, pairs)
    for each in paired_differences(pairs, scores, np.exp(scores)).values():
        assert (each.difference, each.standard_error) == (0, 0)


def test_the_error_is_that_of_drawing_other_followees() -> None:
    """A bootstrap over followees has the same deviation."""
    rng = np.random.default_rng(2)
    pairs = made_pairs(rng)
    scores, others = made_scores(rng, pairs)
    found = paired_difference(pairs, pairs.same_followee.ravel(), scores, others)
    drawn = []
    for _ in range(200):
        followees = rng.integers(0, NUM_FOLLOWEES, NUM_FOLLOWEES)
        follows = (followees[:, None] * NUM_EACH + np.arange(NUM_EACH)).ravel()
        negatives = pairs.same_followee[follows].ravel()
        drawn.append(auc(scores, follows, negatives) - auc(others, follows, negatives))
    assert found.standard_error == pytest.approx(np.std(drawn), rel=0.15)
    assert found.difference > 2 * found.standard_error
