"""A judge for choices: it reads the choosing folds alone, and of these never what it looked at.

A head is fitted to training follows; which look at it counts is told by one half of the choosing
folds, and the figure is of the other half, and the other way round. The judging folds stay unread.

Shapes: N users, D width of R.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featurestore.heads import Head
from graphdb.folds import CHOOSING_FOLDS, HELD_OUT_FOLDS
from graphdb.snapshot.snapshot import Snapshot
from training.evaluation.evaluator import NUM_CHOOSING_STRANGERS, CountedPairs, counted
from training.evaluation.link_head import PairExamples, fit_head, pair_examples, pair_rows
from training.evaluation.link_metrics import both_aucs
from training.evaluation.link_pairs import content_seed, judged_pairs, pair_universe
from training.evaluation.modality_cosine import View
from training.evaluation.user_classification import TopicTask, topic_report, topic_task

FloatArray = NDArray[np.float32]

HALVES = (CHOOSING_FOLDS[:2], CHOOSING_FOLDS[2:])
SEED = 0
"""One draw of strangers and examples for all variants: they differ by training alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoosingJudge:
    """Follows of the choosing folds in two halves, examples to learn from, labelled users."""

    halves: Sequence[CountedPairs]
    examples: PairExamples
    topics: Sequence[TopicTask]

    def figures(self, R_ND: FloatArray, views: Mapping[str, View]) -> dict[str, float]:
        """By name: AUC of fans by R alone, with counts, and by the cosines of each view alone;
        accuracy and macro F1 of topics.
        """
        found: dict[str, float] = {}
        for name, with_counts in (("R", False), ("R + counts", True)):
            same, uniform = self.fans(R_ND, with_counts=with_counts)
            found |= {f"{name}, same followee": same, f"{name}, uniform": uniform}
        for name, view in views.items():
            same, uniform = self.by_cosine(view)
            found |= {f"{name} alone, same followee": same, f"{name} alone, uniform": uniform}
        for task in self.topics:
            report = topic_report(task, R_ND)
            found |= {
                f"{task.name}, accuracy": report.accuracy,
                f"{task.name}, F1": report.macro_f1,
            }
        return found

    def fans(self, R_ND: FloatArray, *, with_counts: bool) -> tuple[float, float]:
        """AUC against strangers of the same followee and uniform ones, over both halves."""
        looks: list[list[tuple[float, float]]] = []

        def look(head: Head) -> float:
            scores = (half.score(head, R_ND, with_counts=with_counts) for half in self.halves)
            looks.append(
                [
                    both_aucs(half.pairs, each)
                    for half, each in zip(self.halves, scores, strict=True)
                ]
            )
            return 0.0

        shown = self.examples
        width = shown.counts.shape[1] if with_counts else 0
        rows = pair_rows(R_ND, shown.followers, shown.followees, shown.counts[:, :width])
        fit_head(rows, shown.is_follow, look, seed=SEED)
        aucs = np.array(looks)  # looks, halves, kinds of strangers
        best = aucs.mean(axis=2).argmax(axis=0)
        same, uniform = (aucs[best[1], 0] + aucs[best[0], 1]) / 2
        return float(same), float(uniform)

    def by_cosine(self, view: View) -> tuple[float, float]:
        """The same by cosines, which learn nothing from either half."""
        aucs = [
            both_aucs(half.pairs, view.cosines(half.pairs.followers, half.pairs.followees))
            for half in self.halves
        ]
        same, uniform = np.mean(aucs, axis=0)
        return float(same), float(uniform)


def choosing_judge(snapshot: Snapshot) -> ChoosingJudge:
    """Draw the pairs, once for all variants, and count round them."""
    graph = snapshot.graph
    universe = pair_universe(graph, snapshot.user_ids, content_seed(graph, SEED, "universe"))
    training = graph.without_folds(HELD_OUT_FOLDS)
    halves = [
        counted(
            training,
            judged_pairs(
                universe,
                folds,
                content_seed(graph, SEED, f"choosing half {number}"),
                num_strangers=NUM_CHOOSING_STRANGERS,
            ),
        )
        for number, folds in enumerate(HALVES)
    ]
    tasks = [
        topic_task(name, labels, snapshot.user_ids) for name, labels in snapshot.labels.items()
    ]
    return ChoosingJudge(
        halves=halves,
        examples=pair_examples(graph, universe, content_seed(graph, SEED, "examples")),
        topics=[task for task in tasks if task is not None],
    )
