"""The history of features: append-only parquet files, which stock Feast reads as well.

One folder a feature view, one file an append. The file is named after its content, so that a
repeated append adds nothing. `event_timestamp` is the event time and `created` the commit time,
both UTC in microseconds; as-of reads take the newest event time, then the newest commit. B rows,
Q questions.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from numpy.typing import NDArray

from featurestore.definitions import (
    CREATED_COLUMN,
    EVENT_TIMESTAMP_COLUMN,
    JOIN_KEY,
    checked,
)
from featurestore.errors import FeatureInvalid, HistoryMissing
from featurestore.online.values import MISSING, Column
from featurestore.settings import FeatureStoreSettings
from foundation.durable_files import write_whole

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


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRows:
    """Features as of each question: (Q,) or (Q, D) by name; NaN, 0 or "" where not `present`."""

    features: dict[str, NDArray[Any]]
    present: NDArray[np.bool_]
    event_times: NDArray[np.int64]
    commit_times: NDArray[np.int64]


class History:
    """The feature history of a home."""

    def __init__(self, settings: FeatureStoreSettings) -> None:
        self.root = settings.history_root

    def folder(self, view: str) -> Path:
        """Folder of a view's files."""
        return self.root / checked(view)

    def append(
        self,
        view: str,
        piece: Slice,
        user_ids: Sequence[str],
        features: Mapping[str, Column],
        *,
        event_times: NDArray[np.int64],
        commit_time: int,
    ) -> bool:
        """Append B rows atomically; return False if the slice was appended before.

        `event_times` (B,) and `commit_time` are microseconds. Nothing is written for no rows.
        Raises FeatureInvalid.
        """
        path = self.folder(view) / piece.file_name
        if path.exists() or not len(user_ids):
            return False
        table = as_table(user_ids, features, event_times, commit_time)
        write = partial(pq.write_table, table, compression="zstd")
        write_whole(path, write, staging=self.root / ".staging")
        return True

    def as_of(
        self,
        view: str,
        user_ids: Sequence[str],
        times: NDArray[np.int64],
        features: Sequence[str],
        *,
        known_by: int | None = None,
    ) -> HistoryRows:
        """Features of Q users, each as of its own time (Q,) in microseconds.

        `known_by` leaves out what was committed later, so that later counts cannot leak into
        earlier questions. Raises HistoryMissing, FeatureInvalid.
        """
        table = self._rows_of(view, user_ids, features, known_by)
        found = newest_rows(table, user_ids, times)
        present = found >= 0
        rows = table.take(pa.array(found[present]))
        return HistoryRows(
            features={name: spread(rows[name], present) for name in features},
            present=present,
            event_times=spread(microseconds(rows[EVENT_TIMESTAMP_COLUMN]), present),
            commit_times=spread(microseconds(rows[CREATED_COLUMN]), present),
        )

    def _rows_of(
        self, view: str, user_ids: Sequence[str], features: Sequence[str], known_by: int | None
    ) -> pa.Table:
        """All rows of these users. Raises HistoryMissing, FeatureInvalid."""
        if not any(self.folder(view).glob("*.parquet")):
            raise HistoryMissing(f"view {view} has no history in {self.root}: nothing was written")
        dataset = ds.dataset(self.folder(view), format="parquet")
        if unknown := [name for name in features if name not in dataset.schema.names]:
            raise FeatureInvalid(f"view {view} has no feature {', '.join(unknown)} in its history")
        wanted = ds.field(JOIN_KEY).isin(pa.array(sorted(set(user_ids)), pa.string()))
        if known_by is not None:
            wanted &= ds.field(CREATED_COLUMN) <= pa.scalar(known_by, TIMESTAMP)
        columns = dict.fromkeys([JOIN_KEY, EVENT_TIMESTAMP_COLUMN, CREATED_COLUMN, *features])
        return dataset.to_table(columns=list(columns), filter=wanted)


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


def newest_rows(
    table: pa.Table, user_ids: Sequence[str], times: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Row (Q,) of the table that holds at each time for each user; -1 where none does.

    Rows and questions are sorted together, rows first at one time; a question is answered by the
    last row before it when that is of the same user.
    """
    codes = {user_id: code for code, user_id in enumerate(dict.fromkeys(user_ids))}
    known = pa.array(codes, pa.string())
    num_rows, num_questions = table.num_rows, len(user_ids)
    row_codes = pc.index_in(table[JOIN_KEY], value_set=known).to_numpy().astype(np.int64)
    users = np.concatenate([row_codes, [codes[user_id] for user_id in user_ids]])
    at = np.concatenate([microseconds(table[EVENT_TIMESTAMP_COLUMN]), times])
    is_question = np.repeat([False, True], [num_rows, num_questions])
    created = np.concatenate(
        [microseconds(table[CREATED_COLUMN]), np.zeros(num_questions, np.int64)]
    )
    order = np.lexsort((created, is_question, at, users))
    positions = np.where(is_question[order], -1, np.arange(len(order)))
    last = np.maximum.accumulate(positions)
    answer = np.where(last >= 0, order[last], -1)
    same_user = (answer >= 0) & (users[answer] == users[order])
    found = np.empty(len(order), np.int64)
    found[order] = np.where(same_user, answer, -1)
    return found[num_rows:]


def microseconds(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """A column of timestamps as integers."""
    return np.asarray(column.cast(pa.int64()).to_numpy(), np.int64)


def spread(column: pa.ChunkedArray | NDArray[Any], present: NDArray[np.bool_]) -> NDArray[Any]:
    """Spread values over the rows that are `present`; the other rows are missing."""
    values = column if isinstance(column, np.ndarray) else as_numpy(column)
    missing = MISSING[values.dtype.kind]
    result = np.full((len(present), *values.shape[1:]), missing, values.dtype)
    result[present] = values
    return result


def as_numpy(column: pa.ChunkedArray) -> NDArray[Any]:
    """A column as (B,), or (B, D) when it holds lists of one width."""
    if not pa.types.is_list(column.type):
        return np.asarray(column.to_numpy())
    flat = column.combine_chunks().flatten()
    return np.asarray(flat.to_numpy()).reshape(len(column), -1)
