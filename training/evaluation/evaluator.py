"""One judge for all: the same follows, strangers and folds for trained, untrained and counted.

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
from graphdb.folds import CHOOSING_FOLDS, HELD_OUT_FOLDS, JUDGING_FOLDS
from graphdb.pair_counts import pair_counts
from graphdb.snapshot.snapshot import Snapshot
from training.errors import EvaluationImpossible
from training.evaluation.baselines import TEXT_FLOOR, floor_scores
from training.evaluation.link_head import (
    PairExamples,
    fit_head,
    pair_examples,
    pair_rows,
    score_pairs,
    widened,
)
from training.evaluation.link_metrics import FANS_METRICS, FansReport, fans_report, mean_auc
from training.evaluation.link_pairs import (
    NUM_STRANGERS,
    JudgedPairs,
    content_seed,
    judged_pairs,
    pair_universe,
)
from training.evaluation.modality_cosine import View
from training.evaluation.user_classification import (
    TOPIC_METRICS,
    TopicTask,
    majority_report,
    topic_head,
    topic_report,
    topic_task,
)
from training.evaluation.user_texts import UserTexts

FloatArray = NDArray[np.float32]

STRANGERS = {"same_followee": "fans, same followee", "uniform": "fans, uniform"}
COLD_START = "fans, cold start"

COSINE = "cosine"
ALONE = "representation"
WITH_COUNTS = "representation + counts"
COUNTS = "network over counts"

NO_VIEWS: Mapping[str, View] = MappingProxyType({})

MIN_FOLLOWS = 20
NUM_CHOOSING_STRANGERS = 20


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Figure:
    """What is measured: a task, by what method, in which metric."""

    task: str
    method: str
    metric: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedHead:
    """A head, what it reads (`pair_input` or `user_input`), and what its logits stand for."""

    head: Head
    input: Literal["pair", "user"]
    classes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Figures of one representation or of the floors, and the heads that were trained for them.

    `uses_representation` is False where the head over R and counts that was chosen reads counts
    alone.
    """

    figures: Mapping[Figure, float]
    heads: Mapping[str, NamedHead] = field(default_factory=dict)
    uses_representation: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedPairs:
    """Pairs to judge or to choose on, with their counts (Q, C) in the training graph."""

    pairs: JudgedPairs
    counts: FloatArray

    def report(
        self, scores_Q: NDArray[np.floating], is_cold: NDArray[np.bool_] | None = None
    ) -> FansReport:
        """Metrics of scores of the pairs."""
        return fans_report(self.pairs, scores_Q, is_cold)

    def score(self, head: Head, R_ND: FloatArray, *, with_counts: bool) -> FloatArray:
        """Scores (Q,) by a head."""
        counts = self.counts if with_counts else self.counts[:, :0]
        return score_pairs(head, R_ND, self.pairs.followers, self.pairs.followees, counts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """Held-out follows, labelled users and floors of one snapshot; made by `prepare_judge`."""

    graph: SnapshotGraph
    statistics: FloatArray
    texts: UserTexts
    seed: int
    judging: CountedPairs
    choosing: CountedPairs
    examples: PairExamples
    counts_head: Head
    is_cold: NDArray[np.bool_]
    topics: Sequence[TopicTask]

    def score(self, R_ND: FloatArray, views: Mapping[str, View] = NO_VIEWS) -> Scores:
        """Figures of a representation of all users, encoded without held-out follows.

        Heads learn from training follows and training labels. The head over R and counts is the
        better, on the choosing folds, of one that reads both and one that reads counts alone. Each
        of the views is judged by its cosines as well.
        """
        R_ND = np.asarray(R_ND, np.float32)
        alone = self.fit(R_ND, with_counts=False)
        both = self.fit(R_ND, with_counts=True)
        fallback = widened(self.counts_head, R_ND.shape[1])
        uses = self.preference(both, R_ND) > self.preference(fallback, R_ND)
        heads = {ALONE: alone, WITH_COUNTS: both if uses else fallback}
        figures: dict[Figure, float] = {}
        for method, head in heads.items():
            scores = self.judging.score(head, R_ND, with_counts=method == WITH_COUNTS)
            figures |= fans_figures(method, self.judging.report(scores, self.is_cold))
        for name, view in views.items():
            figures |= self.cosine_figures(name, view)
        named = {"fans": NamedHead(head=heads[WITH_COUNTS], input="pair", classes=("follow",))}
        for task in self.topics:
            figures |= topic_figures(task, ALONE, asdict(topic_report(task, R_ND)))
            if (head_of_task := topic_head(task, R_ND)) is not None:
                named[f"topic {task.name}"] = NamedHead(
                    head=head_of_task, input="user", classes=task.class_names
                )
        return Scores(
            figures=figures,
            heads=named,
            uses_representation=uses,
        )

    def cosine_figures(self, name: str, view: View) -> dict[Figure, float]:
        """How well the cosines of one view tell follows."""
        pairs = self.judging.pairs
        cosines = view.cosines(pairs.followers, pairs.followees)
        return by_view(name, fans_figures(COSINE, self.judging.report(cosines, self.is_cold)))

    def floors(self) -> Scores:
        """Figures of what counts and words reach, on the same follows, strangers and users."""
        pairs = self.judging.pairs
        scores = floor_scores(
            self.graph,
            self.texts,
            self.examples,
            pairs.followers,
            pairs.followees,
            self.judging.counts,
            seed=self.seed,
        )
        nothing = np.zeros((self.graph.num_nodes, 0), np.float32)
        scores[COUNTS] = self.judging.score(self.counts_head, nothing, with_counts=True)
        figures: dict[Figure, float] = {}
        for name, scores_Q in scores.items():
            figures |= fans_figures(name, self.judging.report(scores_Q, self.is_cold))
        figures |= by_view("text", figures_of(TEXT_FLOOR, figures))
        for task in self.topics:
            for name, found in self.topic_floors(task).items():
                figures |= topic_figures(task, name, found)
        return Scores(figures=figures)

    def topic_floors(self, task: TopicTask) -> dict[str, Mapping[str, float]]:
        """What words, statistics and the majority reach in one task."""
        x = np.log1p(np.abs(self.statistics)) * np.sign(self.statistics)
        return {
            "majority": asdict(majority_report(task)),
            "posts TF-IDF": asdict(topic_report(task, self.texts.post_tfidf, sparse=True)),
            "biography TF-IDF": asdict(topic_report(task, self.texts.biography_tfidf, sparse=True)),
            "statistics X": asdict(topic_report(task, x)),
        }

    def fit(self, R_ND: FloatArray, *, with_counts: bool) -> Head:
        """A head over R, or R and counts, with the look that the choosing folds prefer."""
        return fit_pair_head(
            R_ND, self.examples, self.choosing, with_counts=with_counts, seed=self.seed
        )

    def preference(self, head: Head, R_ND: FloatArray) -> float:
        """How the choosing folds like a head over R and counts."""
        scores = self.choosing.score(head, R_ND, with_counts=True)
        return mean_auc(self.choosing.pairs, scores)


def prepare_judge(snapshot: Snapshot, texts: UserTexts, *, seed: int) -> Judge:
    """Draw, once for all, the pairs that judge and choose, and count round them.

    All is a function of the snapshot's users and follows and of `seed`. Raises
    EvaluationImpossible when fewer than MIN_FOLLOWS follows are held out.
    """
    graph = snapshot.graph
    universe = pair_universe(graph, snapshot.user_ids, content_seed(graph, seed, "universe"))
    training = graph.without_folds(HELD_OUT_FOLDS)
    judges, chooses = (
        judged_pairs(
            universe, folds, content_seed(graph, seed, purpose), num_strangers=num_strangers
        )
        for folds, purpose, num_strangers in (
            (JUDGING_FOLDS, "judging", NUM_STRANGERS),
            (CHOOSING_FOLDS, "choosing", NUM_CHOOSING_STRANGERS),
        )
    )
    judging, choosing = counted(training, judges), counted(training, chooses)
    num_follows = min(len(judging.pairs.follows), len(choosing.pairs.follows))
    if num_follows < MIN_FOLLOWS:
        raise EvaluationImpossible(
            f"{num_follows} held-out follows are too few to judge on (at least {MIN_FOLLOWS}): "
            "ingest more follows"
        )
    examples = pair_examples(graph, universe, content_seed(graph, seed, "examples"))
    nothing = np.zeros((graph.num_nodes, 0), np.float32)
    tasks = [
        topic_task(name, labels, snapshot.user_ids) for name, labels in snapshot.labels.items()
    ]
    return Judge(
        graph=graph,
        statistics=np.asarray(snapshot.statistics),
        texts=texts,
        seed=seed,
        judging=judging,
        choosing=choosing,
        examples=examples,
        counts_head=fit_pair_head(nothing, examples, choosing, with_counts=True, seed=seed),
        is_cold=(training.followees.degrees() + training.followers.degrees()) == 0,
        topics=[task for task in tasks if task is not None],
    )


def counted(training: SnapshotGraph, pairs: JudgedPairs) -> CountedPairs:
    """The pairs with their counts in the training graph."""
    counts = pair_counts(training, pairs.followers, pairs.followees)
    return CountedPairs(pairs=pairs, counts=counts)


def fit_pair_head(
    R_ND: FloatArray,
    examples: PairExamples,
    choosing: CountedPairs,
    *,
    with_counts: bool,
    seed: int,
) -> Head:
    """Learn from the examples; keep the look that the choosing folds prefer."""
    width = examples.counts.shape[1] if with_counts else 0

    def choose(head: Head) -> float:
        scores = choosing.score(head, R_ND, with_counts=with_counts)
        return mean_auc(choosing.pairs, scores)

    rows = pair_rows(R_ND, examples.followers, examples.followees, examples.counts[:, :width])
    return fit_head(rows, examples.is_follow, choose, seed=seed)


def fans_figures(method: str, report: FansReport) -> dict[Figure, float]:
    """The figures of a report."""
    found = {task: asdict(getattr(report, kind)) for kind, task in STRANGERS.items()}
    if report.cold_start is not None:
        found[COLD_START] = asdict(report.cold_start)
    return {
        Figure(task=task, method=method, metric=metric): metrics[metric]
        for task, metrics in found.items()
        for metric in FANS_METRICS
    }


def figures_of(method: str, figures: Mapping[Figure, float]) -> dict[Figure, float]:
    """Those of one method."""
    return {figure: value for figure, value in figures.items() if figure.method == method}


def by_view(name: str, figures: Mapping[Figure, float]) -> dict[Figure, float]:
    """Figures of fans prediction as a task of its own, by one view alone."""
    return {
        replace(figure, task=f"{figure.task}, by {name} alone"): value
        for figure, value in figures.items()
    }


def topic_figures(
    task: TopicTask, method: str, metrics: Mapping[str, float]
) -> dict[Figure, float]:
    """The figures of a topic report."""
    return {
        Figure(task=f"users by {task.name}", method=method, metric=metric): metrics[metric]
        for metric in TOPIC_METRICS
    }
