"""Soundness of a generation's vectors: every user has one that is not zero, all are finite, none
has collapsed.

A generation that is not sound is kept and not activated. Collapse is measured in two ways, over
the users that have the modality, in float64:

- *spread* = 1 - |mean vector|^2 / mean |vector|^2, the share of the energy that is not common to
  all users: 0 if all vectors are equal. Unit vectors with a mean pairwise cosine c have 1 - c.
- *effective rank* = exp(entropy of the eigenvalues of the covariance, normalised to sum 1; Roy
  and Vetterli 2007): 1 if all vectors lie on a line.

A modality that no user or only one user has cannot collapse.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MIN_SPREAD = 1e-3
"""Below it users differ by less than 3 % of a vector's length: float noise, or a constant."""

MIN_EFFECTIVE_RANK = 1.2
"""Below it one direction holds more than 95 % of the variance."""

MAX_SAMPLE = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Soundness:
    """The verdict, one line for each flaw, and the measured values."""

    ok: bool
    reasons: tuple[str, ...]
    spread: Mapping[str, float]
    effective_rank: Mapping[str, float]


def sound(
    vectors: Mapping[str, NDArray[Any]],
    num_expected_users: int,
    *,
    has: Mapping[str, NDArray[np.bool_]] | None = None,
) -> Soundness:
    """Check matrices (N, D) by modality; `has[name]` (N,) marks users that have that modality."""
    reasons: list[str] = []
    spreads: dict[str, float] = {}
    ranks: dict[str, float] = {}
    for name, matrix in vectors.items():
        flaws = incomplete(name, matrix, num_expected_users)
        if not flaws:
            rows = matrix if has is None or name not in has else matrix[has[name]]
            if len(rows) > 1:
                spreads[name], ranks[name] = spread_and_rank(rows)
                flaws = collapsed(name, spreads[name], ranks[name], matrix.shape[1])
        reasons += flaws
    if not reasons and (num_zero := num_without_vector(vectors)):
        reasons.append(f"{num_zero} users have zero vectors only")
    return Soundness(ok=not reasons, reasons=tuple(reasons), spread=spreads, effective_rank=ranks)


def incomplete(name: str, matrix: NDArray[Any], num_expected_users: int) -> list[str]:
    """The flaws of a matrix: users without a vector, vectors that are not finite."""
    flaws = []
    if len(matrix) != num_expected_users:
        flaws.append(f"{name}: {len(matrix)} of {num_expected_users} users have a vector")
    num_bad = int((~np.isfinite(matrix).all(axis=1)).sum()) if matrix.size else 0
    if num_bad:
        flaws.append(f"{name}: vectors of {num_bad} users are not finite")
    return flaws


def num_without_vector(vectors: Mapping[str, NDArray[Any]]) -> int:
    """The number of users whose vectors are zero in every modality."""
    return int((~np.any([matrix.any(axis=1) for matrix in vectors.values()], axis=0)).sum())


def spread_and_rank(rows: NDArray[Any]) -> tuple[float, float]:
    """Spread and effective rank of rows (M, D), M > 1, evenly thinned to MAX_SAMPLE."""
    sample = rows[:: -(-len(rows) // MAX_SAMPLE)].astype(np.float64)
    mean = sample.mean(axis=0)
    energy = float(np.square(sample).sum(axis=1).mean())
    centred = sample - mean
    eigenvalues = np.linalg.eigvalsh(centred.T @ centred).clip(0)
    total = float(eigenvalues.sum())
    spread = 0.0 if energy == 0 else float(np.square(centred).sum(axis=1).mean()) / energy
    if total == 0:
        return spread, 0.0
    shares = eigenvalues[eigenvalues > 0] / total
    return spread, float(np.exp(-(shares * np.log(shares)).sum()))


def collapsed(name: str, spread: float, rank: float, width: int) -> list[str]:
    """The flaw of a matrix whose users have nearly the same vector."""
    if spread < MIN_SPREAD:
        return [f"{name}: vectors have collapsed to a point (spread {spread:.2g})"]
    if width > 1 and rank < MIN_EFFECTIVE_RANK:
        return [f"{name}: vectors have collapsed to a line (effective rank {rank:.2f})"]
    return []
