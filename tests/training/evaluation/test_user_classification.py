import numpy as np
import pytest

from featurestore.heads import evaluate, user_input
from graphdb.snapshot.snapshot import UserLabels
from tests.training.learnable_network import judged_network
from training.evaluation.user_classification import (
    classification_head,
    classification_report,
    classification_task,
    majority_report,
    user_fold,
)

IDS = [f"u{number}" for number in range(90)]


def task(names):
    labels = [(name,) for name in names]
    return classification_task("topic", UserLabels(users=np.arange(len(names)), labels=labels), IDS)


def features(classes, noise=0.3, width=4):
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((3, width))
    found = centres[classes] + noise * rng.standard_normal((len(classes), width))
    return found.astype(np.float32)


CLASSES = np.arange(90) % 3
THREE = task([f"class{number}" for number in CLASSES])


def test_what_is_separable_is_learned_and_noise_is_not():
    good = classification_report(THREE, features(CLASSES))
    assert good.accuracy > 0.95
    assert good.macro_f1 > 0.95
    assert good.num_users == 90
    noise = np.random.default_rng(1).standard_normal((90, 4)).astype(np.float32)
    assert classification_report(THREE, noise).accuracy < 0.5


def test_a_feature_that_tells_its_own_class_by_fold_alone_does_not_help():
    """A value that is unique to each user cannot be learned from others."""
    assert classification_report(THREE, np.eye(90, dtype=np.float32)).accuracy < 0.5


def test_every_user_is_judged_once_by_a_fold_of_its_id():
    assert [user_fold(each) for each in ("u1", "u2", "é")] == [0, 4, 3]
    assert set(THREE.folds.tolist()) == set(range(5))


def test_majority():
    names = ["a"] * 60 + ["b"] * 20 + ["c"] * 10
    found = majority_report(task(names))
    assert found.accuracy == pytest.approx(60 / 90)
    assert found.macro_f1 == pytest.approx(0.8 / 3)


def test_several_labels_of_a_user_are_a_class_of_their_own():
    labels = [("a", "b") if n % 2 else ("a",) for n in range(30)]
    made = classification_task("t", UserLabels(users=np.arange(30), labels=labels), IDS)
    assert made.class_names == ("a", "a+b")


@pytest.mark.parametrize("names", [["a", "b"] * 9, ["a"] * 90, []])
def test_too_few_labels_or_one_class_cannot_be_judged(names):
    assert task(names) is None


def test_a_class_of_one_user_costs_nothing_but_itself():
    names = [f"class{number}" for number in CLASSES]
    names[0] = "rare"
    assert classification_report(task(names), features(CLASSES)).accuracy > 0.9


def test_features_without_columns_are_the_majority():
    empty = np.empty((90, 0), np.float32)
    assert classification_report(THREE, empty).accuracy == majority_report(THREE).accuracy


@pytest.mark.parametrize("num_classes", [2, 3])
def test_the_head_that_is_published_names_the_classes(num_classes):
    classes = CLASSES % num_classes
    made = task([f"class{number}" for number in classes])
    R = features(classes)
    head = classification_head(made, R)
    logits = evaluate(head, user_input(R))
    assert logits.shape == (90, num_classes)
    assert (logits.argmax(axis=1) == classes).mean() > 0.95


def test_words_of_a_user_tell_the_topic():
    network = judged_network()
    labels = network.snapshot.labels["topic"]
    made = classification_task("topic", labels, network.snapshot.user_ids)
    assert classification_report(made, network.texts.post_tfidf, sparse=True).accuracy == 1
    assert made.classes.tolist() == (1 - network.topics[made.users]).tolist()
