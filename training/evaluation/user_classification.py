"""Topic classification of users: five folds by a hash of the id, every labelled user tested once.

Shapes: L labelled users, D width, K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featurestore.heads import Head
from graphdb.snapshot.snapshot import UserLabels
from training.evaluation.threads import one_thread

NUM_USER_FOLDS = 5
INVERSE_PENALTIES = (0.003, 0.03, 0.3, 3.0, 30.0)
SPARSE_INVERSE_PENALTIES = (1.0, 10.0, 100.0)
MIN_LABELLED = 20
MAX_ITERATIONS = 300

CLASSIFICATION_METRICS = ("accuracy", "macro_f1")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassificationReport:
    """Accuracy and macro F1."""

    accuracy: float
    macro_f1: float
    num_users: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassificationTask:
    """Labelled users (L,) as rows of the snapshot, their class and their fold."""

    name: str
    users: NDArray[np.int64]
    classes: NDArray[np.int64]
    class_names: tuple[str, ...]
    folds: NDArray[np.int64]


def classification_task(
    name: str, labels: UserLabels, user_ids: Sequence[str]
) -> ClassificationTask | None:
    """The task, or None if there are too few labels or only one class.

    A user with several labels is in a class of that combination.
    """
    names = ["+".join(each) for each in labels.labels]
    class_names = tuple(sorted(set(names)))
    if len(names) < MIN_LABELLED or len(class_names) < 2:
        return None
    users = np.asarray(labels.users)
    return ClassificationTask(
        name=name,
        users=users,
        classes=np.array([class_names.index(each) for each in names]),
        class_names=class_names,
        folds=np.array([user_fold(user_ids[int(user)]) for user in users]),
    )


def user_fold(user_id: str) -> int:
    """The fold, 0 to 4, of a user."""
    digest = blake2b(user_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % NUM_USER_FOLDS


@one_thread()
def classification_report(
    task: ClassificationTask, features_ND: Any, *, sparse: bool = False
) -> ClassificationReport:
    """Accuracy and F1 of logistic regression on features (dense and standardised, or sparse).

    Each fold is tested with a model of the other four, whose penalty was chosen among these four.
    """
    predicted = np.empty_like(task.classes)
    for fold in range(NUM_USER_FOLDS):
        is_test = task.folds == fold
        if is_test.any():
            model = fitted(task, ~is_test, features_ND, sparse=sparse)
            predicted[is_test] = model.predict(features_ND[task.users[is_test]])
    return report(task, predicted)


def majority_report(task: ClassificationTask) -> ClassificationReport:
    """The baseline that names the most frequent class of the other folds."""
    predicted = np.empty_like(task.classes)
    for fold in range(NUM_USER_FOLDS):
        is_test = task.folds == fold
        predicted[is_test] = np.bincount(task.classes[~is_test]).argmax()
    return report(task, predicted)


def fitted(task: ClassificationTask, rows: Any, features_ND: Any, *, sparse: bool) -> Any:
    """Logistic regression on these rows of a task, or a constant if they have one class.

    The penalty is that of the best mean accuracy over the folds among the rows, the strongest
    among equals; a fold without which one class alone is left counts as wrong for all.
    """
    from sklearn.dummy import DummyClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, PredefinedSplit
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features, classes = features_ND[task.users[rows]], task.classes[rows]
    if len(np.unique(classes)) < 2 or not features.shape[1]:
        return DummyClassifier(strategy="most_frequent").fit(features, classes)
    regression = LogisticRegression(max_iter=MAX_ITERATIONS)
    search = GridSearchCV(
        make_pipeline(regression) if sparse else make_pipeline(StandardScaler(), regression),
        {"logisticregression__C": SPARSE_INVERSE_PENALTIES if sparse else INVERSE_PENALTIES},
        cv=PredefinedSplit(task.folds[rows]),
        error_score=0.0,
    )
    return search.fit(features, classes).best_estimator_


def report(task: ClassificationTask, predicted: NDArray[np.int64]) -> ClassificationReport:
    """Metrics of predicted classes."""
    from sklearn.metrics import f1_score

    return ClassificationReport(
        accuracy=float((predicted == task.classes).mean()),
        macro_f1=float(f1_score(task.classes, predicted, average="macro", zero_division=0)),
        num_users=len(predicted),
    )


@one_thread()
def classification_head(task: ClassificationTask, R_ND: NDArray[np.float32]) -> Head | None:
    """A head of one layer over `user_input(R)`, learned from all labelled users; None where one
    class alone was seen."""
    model = fitted(task, slice(None), R_ND, sparse=False)
    if not hasattr(model, "named_steps"):
        return None
    scaler, regression = (step for _, step in model.steps)
    weight, bias = regression.coef_, regression.intercept_
    if len(weight) == 1:
        # Two classes: scikit-learn keeps the second one's logit alone.
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    return Head(
        mean=scaler.mean_.astype(np.float32),
        std=scaler.scale_.astype(np.float32),
        layers=((weight.astype(np.float32), bias.astype(np.float32)),),
    )
