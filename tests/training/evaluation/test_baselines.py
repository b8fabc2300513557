import numpy as np
import pytest

from graphdb.adjacency import graph_of_follows
from graphdb.folds import HELD_OUT_FOLDS
from graphdb.pair_counts import COUNT_NAMES, pair_counts
from tests.training.learnable_network import judged_network
from training.evaluation.baselines import baseline_scores, text_cosine
from training.evaluation.link_pairs import pair_universe
from training.evaluation.pair_examples import pair_examples
from training.evaluation.truncated_svd import factors
from training.evaluation.user_texts import UserTexts, tfidf


@pytest.fixture(scope="module")
def made():
    return judged_network()


def test_factors_approximate_the_follows(made):
    graph = made.snapshot.graph
    pairs = graph.followees.pairs()
    negatives = np.flatnonzero(~graph.followees.contains(pairs[:, 1], pairs[:, 0]))
    found = factors(graph)
    assert (
        found.products(pairs[:, 0], pairs[:, 1]).mean()
        > found.products(pairs[negatives, 1], pairs[negatives, 0]).mean() + 0.1
    )
    again = factors(graph)
    assert np.array_equal(found.left, again.left)


def test_factors_of_an_empty_graph_are_nothing():
    nothing = np.empty(0, np.int64)
    empty = graph_of_follows(3, nothing, nothing, np.empty(0, np.uint8))
    assert factors(empty).products(np.array([0]), np.array([1])).tolist() == [0]


def test_cosine_of_words(made):
    texts = UserTexts(
        posts=["a lake boat", "a lake boat", "snow peak", "snow lake"], biographies=[]
    )
    cosines = text_cosine(texts, np.array([0, 0, 0, 3]), np.array([1, 2, 3, 3]))
    assert cosines[[0, 1, 3]].tolist() == pytest.approx([1, 0, 1])
    assert 0 < cosines[2] < 1


def test_no_words_at_all_is_no_column():
    assert tfidf(["", "", "?"]).shape == (3, 0)
    assert text_cosine(UserTexts(posts=["", ""], biographies=[]), np.array([0]), np.array([1])) == 0


def test_floors_never_see_a_held_out_follow(made):
    """A held-out follow that comes or goes changes no baseline's score of any pair."""
    snapshot, texts = made.snapshot, made.texts
    blind = snapshot.without_folds(HELD_OUT_FOLDS)
    universe = pair_universe(snapshot.graph, snapshot.user_ids, np.random.default_rng(0))
    pairs = universe.of_folds(range(2))
    counts = pair_counts(blind, pairs.followers, pairs.followees)

    def scores(graph):
        examples = pair_examples(graph, universe, np.random.default_rng(1))
        return baseline_scores(
            graph, texts, examples, pairs.followers, pairs.followees, counts, seed=0
        )

    seeing, not_seeing = scores(snapshot.graph), scores(blind)
    assert next(iter(seeing)) == "gradient boosting over counts"
    for name, scores_Q in seeing.items():
        assert np.array_equal(scores_Q, not_seeing[name]), name
    two_paths = counts[:, COUNT_NAMES.index("two_paths")]
    assert np.array_equal(seeing["directed two-paths"], two_paths)
