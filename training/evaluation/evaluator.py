"""The evaluator: scores trained networks, untrained networks and baselines on the same pairs.

Shapes: N users, D width of R, Q pairs, C counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from featurestore.heads import Head
from graphdb.adjacency import SnapshotGraph
from graphdb.folds import HELD_OUT_FOLDS, TEST_FOLDS, VALIDATION_FOLDS
from graphdb.pair_counts import pair_counts
from graphdb.snapshot.snapshot import Snapshot
from training.errors import EvaluationImpossible
from training.evaluation.baselines import TEXT_BASELINE, baseline_scores
from training.evaluation.link_head import fit_head, pair_rows, score_pairs, widened
from training.evaluation.link_metrics import LINK_METRICS, LinkReport, link_report, mean_auc
from training.evaluation.link_pairs import (
    NUM_NEGATIVES,
    LinkPairs,
    content_seed,
    link_pairs,
    pair_universe,
)
from training.evaluation.modality_cosine import Modality
from training.evaluation.pair_examples import PairExamples, pair_examples
from training.evaluation.user_classification import (
    CLASSIFICATION_METRICS,
    ClassificationTask,
    classification_head,
    classification_report,
    classification_task,
    majority_report,
)
from training.evaluation.user_texts import UserTexts

FloatArray = NDArray[np.float32]

NEGATIVES = {
    "same_followee": "link prediction, same followee",
    "uniform": "link prediction, uniform",
}
COLD_START = "link prediction, cold start"

COSINE = "cosine"
ALONE = "representation"
WITH_COUNTS = "representation + counts"
COUNTS = "network over counts"

NO_MODALITIES: Mapping[str, Modality] = MappingProxyType({})

MIN_FOLLOWS = 20
NUM_VALIDATION_NEGATIVES = 20


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Figure:
    """The key of a figure: task, method and metric."""

    task: str
    method: str
    metric: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedHead:
    """A head, its input (`pair_input` or `user_input`), and the meaning of its logits."""

    head: Head
    input: Literal["pair", "user"]
    classes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Figures of one representation or of the baselines, and the heads that were trained for them.

    `uses_representation` is False if validation chose a head that reads counts only.
    """

    figures: Mapping[Figure, float]
    heads: Mapping[str, NamedHead] = field(default_factory=dict)
    uses_representation: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedPairs:
    """Link pairs of some held-out folds, with their counts (Q, C) in the training graph."""

    pairs: LinkPairs
    counts: FloatArray

    def report(
        self, scores_Q: NDArray[np.floating], is_cold: NDArray[np.bool_] | None = None
    ) -> LinkReport:
        """Metrics of scores of the pairs."""
        return link_report(self.pairs, scores_Q, is_cold)

    def score(self, head: Head, R_ND: FloatArray, *, with_counts: bool) -> FloatArray:
        """Scores (Q,) by a head."""
        counts = self.counts if with_counts else self.counts[:, :0]
        return score_pairs(head, R_ND, self.pairs.followers, self.pairs.followees, counts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluator:
    """Held-out follows, labelled users and baselines of one snapshot; see `prepare_evaluator`."""

    graph: SnapshotGraph
    statistics: FloatArray
    texts: UserTexts
    seed: int
    test: CountedPairs
    validation: CountedPairs
    examples: PairExamples
    counts_head: Head
    is_cold: NDArray[np.bool_]
    topics: Sequence[ClassificationTask]

    def score(self, R_ND: FloatArray, modalities: Mapping[str, Modality] = NO_MODALITIES) -> Scores:
        """Figures of a representation of all users, encoded without held-out follows.

        Heads are trained on training follows and training labels. The head over R and counts is
        the better, on the validation folds, of one that reads both and one that reads counts only.
        Each modality is also evaluated by its cosines.
        """
        R_ND = np.asarray(R_ND, np.float32)
        alone = self.fit(R_ND, with_counts=False)
        both = self.fit(R_ND, with_counts=True)
        fallback = widened(self.counts_head, R_ND.shape[1])
        uses = self.validation_auc(both, R_ND) > self.validation_auc(fallback, R_ND)
        heads = {ALONE: alone, WITH_COUNTS: both if uses else fallback}
        figures: dict[Figure, float] = {}
        for method, head in heads.items():
            scores = self.test.score(head, R_ND, with_counts=method == WITH_COUNTS)
            figures |= link_figures(method, self.test.report(scores, self.is_cold))
        for name, modality in modalities.items():
            figures |= self.cosine_figures(name, modality)
        named = {"fans": NamedHead(head=heads[WITH_COUNTS], input="pair", classes=("follow",))}
        for task in self.topics:
            figures |= classification_figures(
                task, ALONE, asdict(classification_report(task, R_ND))
            )
            if (head_of_task := classification_head(task, R_ND)) is not None:
                named[f"topic {task.name}"] = NamedHead(
                    head=head_of_task, input="user", classes=task.class_names
                )
        return Scores(
            figures=figures,
            heads=named,
            uses_representation=uses,
        )

    def cosine_figures(self, name: str, modality: Modality) -> dict[Figure, float]:
        """Figures of link prediction by the cosine of one modality."""
        pairs = self.test.pairs
        cosines = modality.cosines(pairs.followers, pairs.followees)
        return by_modality(name, link_figures(COSINE, self.test.report(cosines, self.is_cold)))

    def baselines(self) -> Scores:
        """Figures of the baselines, on the same follows, negatives and users."""
        pairs = self.test.pairs
        scores = baseline_scores(
            self.graph,
            self.texts,
            self.examples,
            pairs.followers,
            pairs.followees,
            self.test.counts,
            seed=self.seed,
        )
        nothing = np.zeros((self.graph.num_nodes, 0), np.float32)
        scores[COUNTS] = self.test.score(self.counts_head, nothing, with_counts=True)
        figures: dict[Figure, float] = {}
        for name, scores_Q in scores.items():
            figures |= link_figures(name, self.test.report(scores_Q, self.is_cold))
        figures |= by_modality("text", figures_of(TEXT_BASELINE, figures))
        for task in self.topics:
            for name, found in self.classification_baselines(task).items():
                figures |= classification_figures(task, name, found)
        return Scores(figures=figures)

    def classification_baselines(self, task: ClassificationTask) -> dict[str, Mapping[str, float]]:
        """Figures of the text, statistics and majority baselines in one task."""
        x = np.log1p(np.abs(self.statistics)) * np.sign(self.statistics)
        return {
            "majority": asdict(majority_report(task)),
            "posts TF-IDF": asdict(classification_report(task, self.texts.post_tfidf, sparse=True)),
            "biography TF-IDF": asdict(
                classification_report(task, self.texts.biography_tfidf, sparse=True)
            ),
            "statistics X": asdict(classification_report(task, x)),
        }

    def fit(self, R_ND: FloatArray, *, with_counts: bool) -> Head:
        """Fit a head over R, or R and counts; return its best evaluation point on validation."""
        return fit_pair_head(
            R_ND, self.examples, self.validation, with_counts=with_counts, seed=self.seed
        )

    def validation_auc(self, head: Head, R_ND: FloatArray) -> float:
        """The mean AUC of a head over R and counts on the validation folds."""
        scores = self.validation.score(head, R_ND, with_counts=True)
        return mean_auc(self.validation.pairs, scores)


def prepare_evaluator(snapshot: Snapshot, texts: UserTexts, *, seed: int) -> Evaluator:
    """Draw the pairs of the test and validation folds, and compute their counts.

    The result is a function of the snapshot's users and follows and of `seed`. Raises
    EvaluationImpossible when fewer than MIN_FOLLOWS follows are held out.
    """
    graph = snapshot.graph
    universe = pair_universe(graph, snapshot.user_ids, content_seed(graph, seed, "universe"))
    training = graph.without_folds(HELD_OUT_FOLDS)
    test_pairs, validation_pairs = (
        link_pairs(universe, folds, content_seed(graph, seed, purpose), num_negatives=num_negatives)
        for folds, purpose, num_negatives in (
            (TEST_FOLDS, "judging", NUM_NEGATIVES),
            (VALIDATION_FOLDS, "choosing", NUM_VALIDATION_NEGATIVES),
        )
    )
    test, validation = counted(training, test_pairs), counted(training, validation_pairs)
    num_follows = min(len(test.pairs.follows), len(validation.pairs.follows))
    if num_follows < MIN_FOLLOWS:
        raise EvaluationImpossible(
            f"{num_follows} held-out follows are too few to evaluate on (at least {MIN_FOLLOWS}): "
            "ingest more follows"
        )
    examples = pair_examples(graph, universe, content_seed(graph, seed, "examples"))
    nothing = np.zeros((graph.num_nodes, 0), np.float32)
    tasks = [
        classification_task(name, labels, snapshot.user_ids)
        for name, labels in snapshot.labels.items()
    ]
    return Evaluator(
        graph=graph,
        statistics=np.asarray(snapshot.statistics),
        texts=texts,
        seed=seed,
        test=test,
        validation=validation,
        examples=examples,
        counts_head=fit_pair_head(nothing, examples, validation, with_counts=True, seed=seed),
        is_cold=(training.followees.degrees() + training.followers.degrees()) == 0,
        topics=[task for task in tasks if task is not None],
    )


def num_held_out(snapshot: Snapshot) -> int:
    """The follows of the smaller of the two held-out sets, before any is left out."""
    folds = np.asarray(snapshot.followees.folds)
    return min(int(np.isin(folds, list(each)).sum()) for each in (TEST_FOLDS, VALIDATION_FOLDS))


def counted(training: SnapshotGraph, pairs: LinkPairs) -> CountedPairs:
    """The pairs with their counts in the training graph."""
    counts = pair_counts(training, pairs.followers, pairs.followees)
    return CountedPairs(pairs=pairs, counts=counts)


def fit_pair_head(
    R_ND: FloatArray,
    examples: PairExamples,
    validation: CountedPairs,
    *,
    with_counts: bool,
    seed: int,
) -> Head:
    """Fit a head to the examples; return its best evaluation point on the validation folds."""
    width = examples.counts.shape[1] if with_counts else 0

    def validate(head: Head) -> float:
        scores = validation.score(head, R_ND, with_counts=with_counts)
        return mean_auc(validation.pairs, scores)

    rows = pair_rows(R_ND, examples.followers, examples.followees, examples.counts[:, :width])
    return fit_head(rows, examples.is_follow, validate, seed=seed)


def link_figures(method: str, report: LinkReport) -> dict[Figure, float]:
    """The figures of a report."""
    found = {task: asdict(getattr(report, kind)) for kind, task in NEGATIVES.items()}
    if report.cold_start is not None:
        found[COLD_START] = asdict(report.cold_start)
    return {
        Figure(task=task, method=method, metric=metric): metrics[metric]
        for task, metrics in found.items()
        for metric in LINK_METRICS
    }


def figures_of(method: str, figures: Mapping[Figure, float]) -> dict[Figure, float]:
    """The figures of one method."""
    return {figure: value for figure, value in figures.items() if figure.method == method}


def by_modality(name: str, figures: Mapping[Figure, float]) -> dict[Figure, float]:
    """Figures of link prediction by one modality, as a separate task."""
    return {
        replace(figure, task=f"{figure.task}, by {name} alone"): value
        for figure, value in figures.items()
    }


def classification_figures(
    task: ClassificationTask, method: str, metrics: Mapping[str, float]
) -> dict[Figure, float]:
    """The figures of a topic report."""
    return {
        Figure(task=f"user classification by {task.name}", method=method, metric=metric): metrics[
            metric
        ]
        for metric in CLASSIFICATION_METRICS
    }
