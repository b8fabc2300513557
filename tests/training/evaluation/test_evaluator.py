import json
from dataclasses import replace

import numpy as np
import pytest

from tests.training.learnable_network import NUM_JUDGED, judged_network
from training.errors import EvaluationImpossible
from training.evaluation.comparison import compare, render_evaluation
from training.evaluation.evaluator import (
    ALONE,
    COSINE,
    WITH_COUNTS,
    Figure,
    Scores,
    prepare_evaluator,
)
from training.evaluation.modality_cosine import Modality

NETWORK = judged_network()


@pytest.fixture(scope="module")
def judge():
    return prepare_evaluator(NETWORK.snapshot, NETWORK.texts, seed=0)


def informed(seed=0):
    rng = np.random.default_rng(seed)
    sides = np.array([1.0, -1.0])[NETWORK.topics]
    return (sides[:, None] + 0.3 * rng.standard_normal((NUM_JUDGED, 6))).astype(np.float32)


def noise(seed=0):
    return np.random.default_rng(seed).standard_normal((NUM_JUDGED, 6)).astype(np.float32)


def modalities(vectors):
    view = Modality(vectors=vectors, has=np.ones(NUM_JUDGED, np.bool_))
    return {"text": view, "images": view}


def figure(method, metric="auc", task="link prediction, uniform"):
    return Figure(task=task, method=method, metric=metric)


@pytest.fixture(scope="module")
def scores(judge):
    return {
        "informed": judge.score(informed(), modalities(informed(1))),
        "noise": judge.score(noise(), modalities(noise(1))),
        "baselines": judge.baselines(),
    }


def test_a_representation_that_knows_the_topics_is_worth_more_than_noise(scores):
    good, bad = scores["informed"].figures, scores["noise"].figures
    assert good[figure(ALONE)] > 0.7
    assert bad[figure(ALONE)] < 0.6
    assert good[figure(ALONE, "accuracy", "user classification by topic")] > 0.95
    assert bad[figure(ALONE, "accuracy", "user classification by topic")] < 0.7


def test_a_view_is_judged_by_its_cosines_beside_those_of_words(scores):
    by_text = figure(COSINE, task="link prediction, uniform, by text alone")
    assert scores["informed"].figures[by_text] > 0.6
    assert scores["noise"].figures[by_text] == pytest.approx(0.5, abs=0.05)
    words = "posts TF-IDF cosine"
    baselines = scores["baselines"].figures
    assert baselines[replace(by_text, method=words)] == baselines[figure(words)]


def test_a_user_without_the_view_is_like_nobody():
    vectors = np.array([[3.0, 0.0], [1.0, 0.0], [9.0, 9.0]], np.float32)
    found = Modality(vectors=vectors, has=np.array([True, True, False])).cosines(
        np.array([0, 0, 0]), np.array([0, 1, 2])
    )
    assert found.tolist() == [1.0, -1.0, 0.0]


def test_with_counts_noise_does_no_harm(scores):
    counts = scores["baselines"].figures[figure("network over counts")]
    assert scores["noise"].figures[figure(WITH_COUNTS)] > counts - 0.02


def test_floors_are_judged_on_the_same_figures(scores):
    tasks = {each.task for each in scores["informed"].figures}
    tasks = {task for task in tasks if "images" not in task}  # of which nothing simpler is counted
    assert {each.task for each in scores["baselines"].figures} == tasks
    methods = {each.method for each in scores["baselines"].figures}
    assert {"gradient boosting over counts", "directed two-paths", "majority"} <= methods
    assert scores["baselines"].figures[figure("gradient boosting over counts")] > 0.7


def test_scoring_again_gives_the_same_figures(judge, scores):
    again = judge.score(informed(), modalities(informed(1)))
    assert again.figures == scores["informed"].figures


def test_heads_for_publishing_are_given(scores):
    heads = scores["informed"].heads
    assert {name: each.input for name, each in heads.items()} == {
        "fans": "pair",
        "topic topic": "user",
    }
    assert heads["topic topic"].classes == ("mountain", "water")


def test_too_few_follows_cannot_be_judged(monkeypatch):
    monkeypatch.setattr("training.evaluation.evaluator.MIN_FOLLOWS", 10_000)
    with pytest.raises(EvaluationImpossible, match="too few"):
        prepare_evaluator(NETWORK.snapshot, NETWORK.texts, seed=0)


# --- comparing ---


def made(value, method=ALONE, **others):
    figures = {figure(method): value}
    return Scores(figures=figures | {figure(key): each for key, each in others.items()})


BASELINES = Scores(figures={figure("boosting"): 0.7, figure("paths"): 0.6})


def compared(trained, initial, baselines=BASELINES):
    return compare([made(each) for each in trained], [made(each) for each in initial], baselines)


def test_mean_and_deviation_over_seeds():
    [each] = compared([0.8, 0.9, 1.0], [0.5, 0.5, 0.5]).compared
    assert (each.trained, each.initial) == pytest.approx((0.9, 0.5))
    assert each.trained_deviation == pytest.approx(0.1)
    assert (each.baseline, each.baseline_name) == (0.7, "boosting")
    assert each.is_improved
    assert not each.is_below_baseline


@pytest.mark.parametrize(
    ("trained", "initial", "is_improved"),
    [
        ([0.8, 0.9, 1.0], [0.85, 0.85, 0.85], False),
        ([0.8, 0.9, 1.0], [0.75, 0.75, 0.75], True),
        ([0.9, 0.9, 0.9], [0.6, 0.9, 1.2], False),
        ([0.5, 0.5, 0.5], [0.9, 0.9, 0.9], False),
        ([0.9], [0.8], True),
        ([0.8], [0.8], False),
    ],
)
def test_what_training_does_not_improve_is_named(trained, initial, is_improved):
    evaluation = compared(trained, initial)
    assert [each.is_improved for each in evaluation.compared] == [is_improved]
    named = render_evaluation(evaluation).partition("Below")[0]
    assert ("link prediction, uniform, representation, auc" in named) == (not is_improved)


def test_what_is_below_a_baseline_is_named_with_it():
    evaluation = compared([0.65, 0.66, 0.67], [0.5, 0.5, 0.5])
    assert len(evaluation.below_baseline) == 1
    assert "0.660 < 0.700 (boosting)" in render_evaluation(evaluation)
    assert "none" in render_evaluation(compared([0.9], [0.5])).partition("Below")[2]


def test_counts_alone_are_called_that():
    trained = [replace(made(0.9), uses_representation=False), made(0.9)]
    text = render_evaluation(compare(trained, [made(0.5), made(0.5)], BASELINES))
    assert "In 1 of 2 seeds the validation folds preferred counts alone" in text


def test_the_tables_and_the_document_hold_every_figure(scores):
    evaluation = compare([scores["informed"]] * 2, [scores["noise"]] * 2, scores["baselines"])
    text = render_evaluation(evaluation)
    for task in (
        "link prediction, same followee",
        "link prediction, uniform",
        "user classification by topic",
    ):
        assert task in text
    assert "baseline: co-follow" in text
    document = json.loads(json.dumps(evaluation.document()))
    assert len(document["figures"]) == len(scores["informed"].figures)
    assert len(document["baselines"]) == len(scores["baselines"].figures)
