"""Detects collapse: vectors that are (nearly) equal for all users, and losses at chance level.

Vectors are checked by the measures and bounds of `featurestore.generations.soundness`, so a finding
here predicts that the generation will not be sound.
Shapes: M vectors, D width.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featurestore.generations.soundness import MIN_EFFECTIVE_RANK, MIN_SPREAD, spread_and_rank

MAX_SHARE_OF_CHANCE = 0.99
"""A loss above this share of its chance level counts as not learnt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A problem, the figures that show it, and the remedy."""

    subject: str
    measured: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.measured}; {self.remedy}"


def findings(
    vectors: Mapping[str, NDArray[Any]], losses: Mapping[str, float], chance: Mapping[str, float]
) -> tuple[Finding, ...]:
    """Problems of vectors (M, D), by name, and of losses, by term.

    `chance[name]` is the loss of equal vectors, such as ln(batch) for a contrast; terms without one
    are not checked.
    """
    found = [finding for name, rows in vectors.items() for finding in of_vectors(name, rows)]
    found += [
        finding
        for name, loss in losses.items()
        if name in chance
        for finding in of_loss(name, loss, chance[name])
    ]
    return tuple(found)


def of_vectors(name: str, rows: NDArray[Any]) -> list[Finding]:
    """At most one finding; one vector alone cannot collapse."""
    subject = f"{name} vectors have collapsed"
    if not np.isfinite(rows).all():
        return [
            Finding(
                subject=f"{name} vectors are not finite",
                measured=f"in {int((~np.isfinite(rows).all(axis=1)).sum())} of {len(rows)}",
                remedy="lower the learning rates",
            )
        ]
    if len(rows) < 2:
        return []
    spread, rank = spread_and_rank(rows)
    cosine = mean_cosine(rows)
    figures = f"mean cosine {cosine:.4f}, spread {spread:.2g}, effective rank {rank:.2f}"
    if spread < MIN_SPREAD or cosine > 1 - MIN_SPREAD:
        return [
            Finding(
                subject=f"{subject} to a point",
                measured=figures,
                remedy="lower the learning rate, or raise the weights of contrasts and alignment",
            )
        ]
    if rows.shape[1] > 1 and rank < MIN_EFFECTIVE_RANK:
        return [
            Finding(
                subject=f"{subject} to a line",
                measured=figures,
                remedy="raise the weights of the contrasts, or train on more users a step",
            )
        ]
    return []


def of_loss(name: str, loss: float, chance: float) -> list[Finding]:
    """A finding if the loss is at chance level; a chance of 0 means that there are no pairs."""
    if not chance or loss <= MAX_SHARE_OF_CHANCE * chance:
        return []
    return [
        Finding(
            subject=f"{name.replace('_', ' ')} has learnt nothing",
            measured=f"its loss is {loss:.4f}, that of vectors all alike {chance:.4f}",
            remedy="train for more steps, raise the learning rate or its weight, or leave it out",
        )
    ]


def mean_cosine(rows: NDArray[Any]) -> float:
    """The mean cosine over all pairs of different rows (M, D), M > 1; a zero row has cosine 0."""
    lengths = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    units = rows / np.where(lengths > 0, lengths, 1.0)
    num_own = float((lengths > 0).sum())
    total = float(np.square(units.sum(axis=0)).sum()) - num_own
    return total / (len(rows) * (len(rows) - 1))
