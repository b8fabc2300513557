"""An evaluator for choices: it reads the validation folds alone, and no figure is of what chose the
head.

A head is fitted to training follows; which evaluation point counts is told by one half of the
validation folds, and the figure is of the other half, and the other way round. The test folds stay
unread.

Shapes: N users, D width of R.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featurestore.heads import Head
from graphdb.folds import HELD_OUT_FOLDS, VALIDATION_FOLDS
from graphdb.snapshot.snapshot import Snapshot
from training.evaluation.evaluator import NUM_VALIDATION_NEGATIVES, CountedPairs, counted
from training.evaluation.link_head import fit_head, pair_rows
from training.evaluation.link_metrics import both_aucs
from training.evaluation.link_pairs import content_seed, link_pairs, pair_universe
from training.evaluation.modality_cosine import Modality
from training.evaluation.pair_examples import PairExamples, pair_examples
from training.evaluation.user_classification import (
    ClassificationTask,
    classification_report,
    classification_task,
)

FloatArray = NDArray[np.float32]

HALVES = (VALIDATION_FOLDS[:2], VALIDATION_FOLDS[2:])
SEED = 0
"""One draw of negatives and examples for all variants: they differ by training alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationEvaluator:
    """Follows of the validation folds in two halves, examples to learn from, labelled users."""

    halves: Sequence[CountedPairs]
    examples: PairExamples
    topics: Sequence[ClassificationTask]

    def figures(self, R_ND: FloatArray, modalities: Mapping[str, Modality]) -> dict[str, float]:
        """By name: AUC of fans by R alone, with counts, and by the cosines of each view alone;
        accuracy and macro F1 of topics.
        """
        found: dict[str, float] = {}
        for name, with_counts in (("R", False), ("R + counts", True)):
            same, uniform = self.fans(R_ND, with_counts=with_counts)
            found |= {f"{name}, same followee": same, f"{name}, uniform": uniform}
        for name, view in modalities.items():
            same, uniform = self.by_cosine(view)
            found |= {f"{name} alone, same followee": same, f"{name} alone, uniform": uniform}
        for task in self.topics:
            report = classification_report(task, R_ND)
            found |= {
                f"{task.name}, accuracy": report.accuracy,
                f"{task.name}, F1": report.macro_f1,
            }
        return found

    def fans(self, R_ND: FloatArray, *, with_counts: bool) -> tuple[float, float]:
        """AUC against negatives of the same followee and uniform ones, over both halves."""
        evaluation_points: list[list[tuple[float, float]]] = []

        def validate(head: Head) -> float:
            scores = (half.score(head, R_ND, with_counts=with_counts) for half in self.halves)
            evaluation_points.append(
                [
                    both_aucs(half.pairs, each)
                    for half, each in zip(self.halves, scores, strict=True)
                ]
            )
            return 0.0

        shown = self.examples
        width = shown.counts.shape[1] if with_counts else 0
        rows = pair_rows(R_ND, shown.followers, shown.followees, shown.counts[:, :width])
        fit_head(rows, shown.is_follow, validate, seed=SEED)
        aucs = np.array(evaluation_points)  # evaluation_points, halves, kinds of negatives
        best = aucs.mean(axis=2).argmax(axis=0)
        same, uniform = (aucs[best[1], 0] + aucs[best[0], 1]) / 2
        return float(same), float(uniform)

    def by_cosine(self, view: Modality) -> tuple[float, float]:
        """The same by cosines, which learn nothing from either half."""
        aucs = [
            both_aucs(half.pairs, view.cosines(half.pairs.followers, half.pairs.followees))
            for half in self.halves
        ]
        same, uniform = np.mean(aucs, axis=0)
        return float(same), float(uniform)


def validation_evaluator(snapshot: Snapshot) -> ValidationEvaluator:
    """Draw the pairs, once for all variants, and count round them."""
    graph = snapshot.graph
    universe = pair_universe(graph, snapshot.user_ids, content_seed(graph, SEED, "universe"))
    training = graph.without_folds(HELD_OUT_FOLDS)
    halves = [
        counted(
            training,
            link_pairs(
                universe,
                folds,
                content_seed(graph, SEED, f"choosing half {number}"),
                num_negatives=NUM_VALIDATION_NEGATIVES,
            ),
        )
        for number, folds in enumerate(HALVES)
    ]
    tasks = [
        classification_task(name, labels, snapshot.user_ids)
        for name, labels in snapshot.labels.items()
    ]
    return ValidationEvaluator(
        halves=halves,
        examples=pair_examples(graph, universe, content_seed(graph, SEED, "examples")),
        topics=[task for task in tasks if task is not None],
    )
