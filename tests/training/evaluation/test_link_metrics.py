import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from training.evaluation.link_metrics import link_metrics, link_report, mean_auc
from training.evaluation.link_pairs import LinkPairs


def test_a_perfect_and_a_useless_score():
    negatives = np.arange(100.0).reshape(2, 50)
    perfect = link_metrics(np.array([200.0, 300.0]), negatives)
    assert (perfect.auc, perfect.ap, perfect.mrr, perfect.hits_at_10) == (1, 1, 1, 1)
    useless = link_metrics(np.zeros(2), np.zeros((2, 50)))
    assert useless.auc == 0.5
    assert useless.mrr == pytest.approx(1 / 26)
    assert useless.hits_at_10 == 0


def test_ranks_by_hand():
    metrics = link_metrics(np.array([5.0, 1.0]), np.array([[6.0, 5.0, 1.0], [0.0, 0.0, 0.0]]))
    assert metrics.mrr == pytest.approx((1 / 2.5 + 1) / 2)
    assert metrics.hits_at_10 == 1


@given(st.integers(0, 2**32 - 1))
def test_auc_counts_pairs_and_precision_weighs_negatives_like_follows(seed):
    rng = np.random.default_rng(seed)
    follows, negatives = rng.integers(0, 6, 9) / 2, rng.integers(0, 5, (9, 4)) / 2
    metrics = link_metrics(follows, negatives)
    above = (follows[:, None] > negatives.ravel()) + (follows[:, None] == negatives.ravel()) / 2
    assert metrics.auc == pytest.approx(above.mean())
    repeated = np.concatenate([np.repeat(follows, 4), negatives.ravel()])
    assert metrics.ap == pytest.approx(average_precision_score([1] * 36 + [0] * 36, repeated))


def test_nothing_to_judge_is_an_error():
    with pytest.raises(ValueError, match="no follow"):
        link_metrics(np.empty(0), np.empty((0, 100)))


def pairs():
    """Two follows, of users 0 and 1, with two negatives each."""
    return LinkPairs(
        followers=np.array([0, 1, 2, 3]),
        followees=np.array([9, 9, 9, 8]),
        follows=np.array([0, 1]),
        same_followee=np.array([[2, 2], [2, 2]]),
        uniform=np.array([[3, 2], [3, 3]]),
        num_without_negatives=0,
    )


def test_both_kinds_of_negatives_and_newcomers_are_told_apart():
    scores = np.array([1.0, 3.0, 2.0, 0.0])
    report = link_report(pairs(), scores, np.array([True, False, False, False]))
    assert report.same_followee.auc == 0.5
    assert report.uniform.auc == 7 / 8
    assert mean_auc(pairs(), scores) == (0.5 + 7 / 8) / 2
    assert report.num_follows == 2
    assert report.num_cold_start == 1
    assert report.cold_start.auc == 0
    assert link_report(pairs(), scores).cold_start is None
