"""Convert rows of the online store to answers, one row a user.

B users, D width of a vector.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from featurestore.definitions import COMPUTED_AT, GRAPH_VERSION, MODALITIES, PROVISIONAL
from featurestore.online.store import OnlineRows
from featurestore.representation import representation
from graphdb.statistics import STATISTICS
from serving.features import MissingReason, UserFeatures, Vector
from serving.published import PublishedGeneration

Matrix = NDArray[np.float32]
T = TypeVar("T")
REPRESENTATION = "representation"
VECTORS = (*MODALITIES, REPRESENTATION)


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorRows:
    """Vectors (B, D) by name, `representation` included, and which of them (B,) are usable."""

    values: dict[str, Matrix]
    usable: dict[str, NDArray[np.bool_]]
    provenance: OnlineRows

    @classmethod
    def of(cls, rows: OnlineRows, generation: PublishedGeneration) -> "VectorRows":
        """The stored vectors and R; a vector that is not finite is not usable."""
        values: dict[str, Matrix] = {
            name: _matrix(rows.features[name], len(rows.present), generation.dims[name])
            for name in MODALITIES
        }
        usable: dict[str, NDArray[np.bool_]] = {
            name: rows.known[name] & np.isfinite(values[name]).all(axis=1) for name in MODALITIES
        }
        graph, image, text = (values[name] for name in MODALITIES)
        return cls(
            values={
                **values,
                REPRESENTATION: representation(graph, image, text, generation.scales),
            },
            usable={
                **usable,
                REPRESENTATION: usable["graph"] & usable["image"] & usable["text"],
            },
            provenance=rows,
        )


def _matrix(values: NDArray[Any], num_rows: int, width: int) -> Matrix:
    """(B, D), also where no user has the vector and the store returns NaN (B,)."""
    return values if values.ndim == 2 else np.full((num_rows, width), np.nan, np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatisticsRows:
    """The statistics X of B users, as plain numbers; what is not finite is None."""

    values: list[list[float | None]]
    present: NDArray[np.bool_]

    @classmethod
    def of(cls, rows: OnlineRows) -> "StatisticsRows":
        """Convert all users at once: number by number it would cost more than the read."""
        matrix = np.stack([rows.features[name] for name in STATISTICS], axis=1)
        values: list[list[float | None]] = matrix.tolist()
        if not np.isfinite(matrix).all():
            values = [[x if np.isfinite(x) else None for x in row] for row in matrix.tolist()]
        return cls(values=values, present=rows.present)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRows:
    """The rows of B users, and the conversion of each to an answer.

    `vectors` is None before the first generation; `stale` names the features to leave out.
    """

    generation: str | None
    statistics: StatisticsRows
    vectors: VectorRows | None
    staleness: dict[str, float | None]
    stale: frozenset[str]

    def knows(self, row: int) -> bool:
        """Whether the user has a row of statistics or vectors."""
        has_vectors = self.vectors is not None and self.vectors.provenance.present[row]
        return bool(self.statistics.present[row] or has_vectors)

    def user(self, row: int, user_id: str) -> UserFeatures:
        """The features of one row."""
        missing: dict[str, MissingReason] = {}
        statistics = self._statistics(row, missing)
        vectors = {name: self._vector(name, row, missing) for name in VECTORS}
        return UserFeatures(
            user_id=user_id,
            generation=self.generation,
            graph_version=self._provenance(GRAPH_VERSION, row, int),
            computed_at=self._provenance(COMPUTED_AT, row, utc_datetime),
            provisional=self._provenance(PROVISIONAL, row, bool),
            staleness_seconds=self.staleness,
            missing=missing,
            statistics=statistics,
            graph=vectors["graph"],
            image=vectors["image"],
            text=vectors["text"],
            representation=vectors[REPRESENTATION],
        )

    def _statistics(
        self, row: int, missing: dict[str, MissingReason]
    ) -> dict[str, float | None] | None:
        if not self.statistics.present[row]:
            missing["statistics"] = "not_computed"
        elif "statistics" in self.stale:
            missing["statistics"] = "stale"
        else:
            return dict(zip(STATISTICS, self.statistics.values[row], strict=True))
        return None

    def _vector(self, name: str, row: int, missing: dict[str, MissingReason]) -> Vector | None:
        if self.vectors is None:
            missing[name] = "no_generation"
        elif not self.vectors.usable[name][row]:
            missing[name] = "not_computed"
        elif REPRESENTATION in self.stale:
            missing[name] = "stale"
        else:
            vector: Vector = self.vectors.values[name][row]
            return vector
        return None

    def _provenance(self, name: str, row: int, read: Callable[[Any], T]) -> T | None:
        rows = None if self.vectors is None else self.vectors.provenance
        return read(rows.features[name][row]) if rows and rows.known[name][row] else None


def utc_datetime(value: np.datetime64) -> datetime:
    """A stored time of whole seconds."""
    return datetime.fromtimestamp(int(value.astype("datetime64[s]").astype(np.int64)), UTC)
