"""Rows of a feature history as they are kept, and the slice that an append adds. B rows."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from featurestore.definitions import CREATED_COLUMN, EVENT_TIMESTAMP_COLUMN, JOIN_KEY
from featurestore.errors import FeatureInvalid
from featurestore.online.values import Column

TIMESTAMP = pa.timestamp("us", tz="UTC")
PART = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """The content of an append: the users that changed between two versions of a graph.

    `since` is -1 for a projection from scratch; `page` counts the appends of one range.
    """

    graph_id: str
    since: int
    version: int
    page: int = 0

    @property
    def file_name(self) -> str:
        """The file name, unique to this slice. Raises FeatureInvalid."""
        if not PART.fullmatch(self.graph_id):
            raise FeatureInvalid(f"graph id {self.graph_id!r} cannot name a file")
        since = "all" if self.since < 0 else f"{self.since:019d}"
        return f"{self.graph_id}-{since}-{self.version:019d}-{self.page:06d}.parquet"


def as_table(
    user_ids: Sequence[str],
    features: Mapping[str, Column],
    event_times: NDArray[np.int64],
    commit_time: int,
) -> pa.Table:
    """Rows as Feast expects them in parquet. Raises FeatureInvalid."""
    sizes = {len(user_ids), len(event_times), *(len(column) for column in features.values())}
    if len(sizes) != 1:
        raise FeatureInvalid(f"columns of a history differ in length: {sorted(sizes)}")
    return pa.table(
        {
            JOIN_KEY: pa.array(user_ids, pa.string()),
            EVENT_TIMESTAMP_COLUMN: pa.array(event_times, pa.int64()).cast(TIMESTAMP),
            CREATED_COLUMN: pa.array(np.full(len(user_ids), commit_time)).cast(TIMESTAMP),
            **{name: as_arrow(column) for name, column in features.items()},
        }
    )


def as_arrow(column: Column) -> pa.Array:
    """A column (B,), or a matrix (B, D) as lists of float32."""
    array = np.asarray(column)
    if array.ndim == 1:
        return pa.array(array)
    num_rows, width = array.shape
    offsets = pa.array(np.arange(num_rows + 1, dtype=np.int32) * width)
    return pa.ListArray.from_arrays(offsets, pa.array(array.astype(np.float32).reshape(-1)))
