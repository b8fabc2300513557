import numpy as np
import pytest

from graphdb.folds import TEST_FOLDS, VALIDATION_FOLDS, fold
from tests.training.learnable_network import NUM_JUDGED, judged_network
from training.evaluation import link_pairs as negatives
from training.evaluation.link_pairs import content_seed, link_pairs, pair_universe


@pytest.fixture(scope="module")
def snapshot():
    return judged_network().snapshot


@pytest.fixture(scope="module")
def universe(snapshot):
    return pair_universe(snapshot.graph, snapshot.user_ids, np.random.default_rng(0))


def judged(snapshot, universe, folds=TEST_FOLDS, seed=0):
    return link_pairs(universe, folds, content_seed(snapshot.graph, seed, "judging"))


def test_the_universe_is_every_pair_once_with_its_fold(snapshot, universe):
    assert len(universe.followers) == NUM_JUDGED * (NUM_JUDGED - 1)
    ids = snapshot.user_ids
    for place in range(0, len(universe.followers), 997):
        u, v = int(universe.followers[place]), int(universe.followees[place])
        assert universe.folds[place] == fold(ids[u], ids[v])
        assert universe.is_follow[place] == (v in snapshot.followees.neighbours(u))


@pytest.mark.parametrize("folds", [TEST_FOLDS, VALIDATION_FOLDS])
def test_follows_and_negatives_are_of_the_same_folds_and_no_negative_is_a_follow(
    snapshot, universe, folds
):
    pairs = judged(snapshot, universe, folds)
    edges = {tuple(pair) for pair in snapshot.followees.pairs().tolist()}
    held_out = {tuple(pair) for pair in snapshot.followees.pairs(folds).tolist()}

    def ends(places):
        return list(
            zip(pairs.followers[places].tolist(), pairs.followees[places].tolist(), strict=True)
        )

    assert set(ends(pairs.follows)) == held_out
    assert len(pairs.follows) == len(held_out)
    ids = snapshot.user_ids
    for kind in (pairs.same_followee, pairs.uniform):
        assert kind.shape == (len(pairs.follows), 100)
        negatives = set(ends(kind.ravel()))
        assert not negatives & edges
        assert all(u != v for u, v in negatives)
        assert all(fold(ids[u], ids[v]) in folds for u, v in negatives)
    followees = pairs.followees[pairs.same_followee]
    assert (followees == pairs.followees[pairs.follows][:, None]).all()


def test_negatives_are_fixed_by_graph_and_seed(snapshot, universe):
    first, again = judged(snapshot, universe), judged(snapshot, universe)
    elsewhere = judged_network().snapshot
    other_home = judged(elsewhere, universe)
    for pairs in (again, other_home):
        assert np.array_equal(first.same_followee, pairs.same_followee)
        assert np.array_equal(first.uniform, pairs.uniform)
    assert not np.array_equal(first.uniform, judged(snapshot, universe, seed=1).uniform)
    other_graph = judged_network(seed=5).snapshot
    assert not np.array_equal(first.uniform, judged(other_graph, universe).uniform)


def test_large_graphs_are_judged_on_a_sample(snapshot, monkeypatch):
    monkeypatch.setattr(negatives, "MAX_USERS", 60)
    monkeypatch.setattr(negatives, "MAX_FOLLOWS", 50)
    universe = pair_universe(snapshot.graph, snapshot.user_ids, np.random.default_rng(0))
    assert len(np.unique(universe.followees)) == 60
    assert len(np.unique(universe.followers[universe.is_follow])) > 60
    pairs = judged(snapshot, universe)
    assert len(pairs.follows) + pairs.num_without_negatives == 50
    assert (pairs.same_followee >= 0).all()


def test_a_followee_whom_all_follow_is_left_out_and_counted(universe):
    everybody = universe.followees == 7
    full = negatives.PairUniverse(
        followers=universe.followers,
        followees=universe.followees,
        folds=universe.folds,
        is_follow=universe.is_follow | everybody,
    )
    pairs = link_pairs(full, TEST_FOLDS, np.random.default_rng(0))
    assert pairs.num_without_negatives == (everybody & (universe.folds < 10)).sum() > 0
    assert 7 not in pairs.followees[pairs.follows]


def test_different_negatives_where_there_are_enough(universe):
    pairs = link_pairs(universe, TEST_FOLDS, np.random.default_rng(0), num_negatives=3)
    assert all(len(set(row)) == 3 for row in pairs.same_followee.tolist())
