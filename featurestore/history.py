"""The history of features: append-only, read as of a time, by stock Feast as well.

One folder a feature view with parquet files, and for what is projected all the time a log before
them (`history_log`), which readers here see and stock Feast does not yet. `event_timestamp` is the
event time and `created` the commit time, both UTC in microseconds; as-of reads take the newest
event time, then the newest commit. B rows, Q questions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from featurestore.definitions import CREATED_COLUMN, EVENT_TIMESTAMP_COLUMN, JOIN_KEY, checked
from featurestore.errors import FeatureInvalid, HistoryMissing
from featurestore.history_files import HistoryFiles
from featurestore.history_log import HistoryLog, read_log
from featurestore.history_rows import TIMESTAMP, Slice, as_table
from featurestore.online.values import MISSING, Column
from featurestore.settings import FeatureStoreSettings
from foundation.durable_files import write_whole

if TYPE_CHECKING:
    from pyarrow.dataset import Dataset

TRIES = 10
"""How often a read begins again when files were compacted under it."""


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

    def log(self, view: str) -> HistoryLog:
        """Open the log of a view, for the one process that appends to it."""
        return HistoryLog(self._files(view))

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
        Raises FeatureInvalid, FormatRefused.
        """
        path = self.folder(view) / piece.file_name
        if path.exists() or not len(user_ids):
            return False
        self._files(view).mark_format()
        table = as_table(user_ids, features, event_times, commit_time)
        plain = [each.name for each in table.schema if not pa.types.is_list(each.type)]
        write = partial(pq.write_table, table, compression="zstd", use_dictionary=plain)
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
        earlier questions. Raises HistoryMissing, FeatureInvalid, FormatRefused.
        """
        columns = dict.fromkeys([JOIN_KEY, EVENT_TIMESTAMP_COLUMN, CREATED_COLUMN, *features])
        wanted = pc.field(JOIN_KEY).isin(pa.array(sorted(set(user_ids)), pa.string()))
        if known_by is not None:
            wanted &= pc.field(CREATED_COLUMN) <= pa.scalar(known_by, TIMESTAMP)
        table = self.rows(view, list(columns), wanted)
        found = newest_rows(table, user_ids, times)
        present = found >= 0
        rows = table.take(pa.array(found[present]))
        return HistoryRows(
            features={name: spread(rows[name], present) for name in features},
            present=present,
            event_times=spread(microseconds(rows[EVENT_TIMESTAMP_COLUMN]), present),
            commit_times=spread(microseconds(rows[CREATED_COLUMN]), present),
        )

    def rows(
        self, view: str, columns: Sequence[str] | None = None, wanted: pc.Expression | None = None
    ) -> pa.Table:
        """All rows of a view that are wanted, in no meaningful order.

        Raises HistoryMissing, FeatureInvalid, FormatRefused.
        """
        for _ in range(TRIES):
            try:
                return self._rows(view, columns, wanted)
            except FileNotFoundError:
                continue  # it was compacted between listing and reading
        raise HistoryMissing(f"view {view} is compacted again and again in {self.root}: try later")

    def drop(self, view: str) -> None:
        """Delete all rows of a view; no process may be appending to it."""
        self._files(view).drop()

    def _rows(
        self, view: str, columns: Sequence[str] | None, wanted: pc.Expression | None
    ) -> pa.Table:
        import pyarrow.dataset as ds  # it imports pandas, which writers do not need

        files = self._files(view)
        files.check_format()
        logs, parts = files.readable()
        stored = [ds.dataset([str(path) for path in parts], format="parquet")] if parts else []
        logged = (ds.dataset(each.rows) for path in logs for _, each in read_log(path))
        tables = [selected(piece, columns, wanted) for piece in chain(stored, logged)]
        if not tables:
            raise HistoryMissing(f"view {view} has no history in {self.root}: nothing was written")
        table = pa.concat_tables(tables, promote_options="default")
        if unknown := [name for name in columns or () if name not in table.column_names]:
            raise FeatureInvalid(f"view {view} has no feature {', '.join(unknown)} in its history")
        return table

    def _files(self, view: str) -> HistoryFiles:
        return HistoryFiles(self.root, checked(view))


def selected(
    rows: "Dataset", columns: Sequence[str] | None, wanted: pc.Expression | None
) -> pa.Table:
    """Those rows that are wanted, with those of the columns that they have."""
    known = None if columns is None else [name for name in columns if name in rows.schema.names]
    return rows.to_table(columns=known, filter=wanted)


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
