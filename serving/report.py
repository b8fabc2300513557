"""Answers as text for a terminal: of each vector the norm and the first values."""

from collections.abc import Iterable

import numpy as np

from foundation.text_table import text_table
from serving.features import SimilarAnswer, UserFeatures, Vector
from serving.rows import VECTORS
from serving.staleness import in_words

NUM_FIRST = 5
STATISTICS_PER_LINE = 3


def user_report(features: UserFeatures) -> str:
    """The features of one user, in about fifteen lines."""
    lines = [f"user {features.user_id}", f"  {provenance_line(features)}"]
    lines += indented(text_table([vector_cells(features, name) for name in VECTORS]))
    if features.statistics is None:
        lines.append(f"  statistics      missing: {reason(features, 'statistics')}")
    else:
        lines += indented(text_table(statistics_cells(features.statistics)))
    lines.append(f"  staleness: {in_words(features.staleness_seconds)}")
    return "\n".join(lines)


def similar_report(answer: SimilarAnswer) -> str:
    """Nearest users with their cosines, nearest first."""
    head = f"users most similar to {answer.user_id} in generation {answer.generation}"
    cells = [[f"{other.cosine:.4f}", other.user_id] for other in answer.similar]
    return "\n".join([head, *indented(text_table(cells) or ["nobody else has a representation"])])


def provenance_line(features: UserFeatures) -> str:
    """Generation, graph version and time of the vectors."""
    parts = [f"generation {features.generation or 'none yet: run `mmga train`'}"]
    if features.graph_version is not None:
        parts.append(f"graph version {features.graph_version:,}")
    if features.computed_at is not None:
        parts.append(f"computed {features.computed_at:%Y-%m-%d %H:%M:%S} UTC")
    if features.provisional:
        parts.append("provisional: computed before all inputs were there")
    return " · ".join(parts)


def vector_cells(features: UserFeatures, name: str) -> list[str]:
    """Name, width, norm and first values of one vector."""
    vector: Vector | None = getattr(features, name)
    if vector is None:
        return [name, f"missing: {reason(features, name)}"]
    first = " ".join(f"{value:+.3f}" for value in vector[:NUM_FIRST].tolist())
    more = " …" if len(vector) > NUM_FIRST else ""
    return [name, f"{len(vector)} floats", f"norm {np.linalg.norm(vector):.3f}", first + more]


def statistics_cells(statistics: dict[str, float | None]) -> list[list[str]]:
    """Names and values, several to a line."""
    cells = [
        [name, "unknown" if value is None else f"{value:,.6g}"]
        for name, value in statistics.items()
    ]
    lines = [
        cells[start : start + STATISTICS_PER_LINE]
        for start in range(0, len(cells), STATISTICS_PER_LINE)
    ]
    return [[cell for pair in line for cell in pair] for line in lines]


def reason(features: UserFeatures, name: str) -> str:
    """Why a feature is missing, in words."""
    return features.missing[name].replace("_", " ")


def indented(lines: Iterable[str]) -> list[str]:
    """Lines two spaces further right."""
    return [f"  {line}" for line in lines]
