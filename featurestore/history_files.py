"""The files of a view's history: numbered logs, and the parquet files that they become.

A compacted file is named after the first and the last log in it. Its appearance takes them, and
smaller compacted files that went into it, out of sight; they are deleted afterwards, by whoever
opens the history next if need be. So a row is seen once, whatever is killed. Parquet files with
other names are slices of their own and stay as they are.
"""

import json
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from featurestore.errors import FormatRefused
from featurestore.history_rows import Slice
from foundation.durable_files import PARTIAL, write_whole
from foundation.format_version import FORMAT_FILE, HISTORY

LOG = re.compile(r"(\d{12})\.log")
COMPACTED = re.compile(r"(\d{12})-(\d{12})\.parquet")
REBUILT = b"rebuilt"
"""Names the slices of rebuilds in a compacted file's metadata: they may be repeated later."""
MAX_ROWS = 500_000
"""A compacted file of that size is never rewritten."""
GROWTH = 2
"""A smaller one is, together with what comes to at least a part of its size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compacted:
    """A parquet file made of the logs `first` to `last`."""

    path: Path
    first: int
    last: int

    def contains(self, other: "Compacted") -> bool:
        """Whether the rows of another file are in this one."""
        return self != other and self.first <= other.first and other.last <= self.last


class HistoryFiles:
    """What there is of one view, on the disk."""

    def __init__(self, root: Path, view: str) -> None:
        self._root = root
        self.folder = root / view
        self._logs = root / ".logs" / view

    def check_format(self) -> None:
        """Raises FormatRefused for a history of another version of this software."""
        if refusal := HISTORY.folder_refusal(self._root):
            raise FormatRefused(refusal)

    def mark_format(self) -> None:
        """Mark a new history with its format. Raises FormatRefused as `check_format`."""
        self.check_format()
        if not (self._root / FORMAT_FILE).exists():
            HISTORY.mark_folder(self._root)

    def logs(self) -> list[Path]:
        """The logs whose rows are in no parquet file, oldest first."""
        return self.readable()[0]

    def readable(self) -> tuple[list[Path], list[Path]]:
        """The logs and the parquet files that hold each row once.

        Logs are listed first: one that is compacted meanwhile is then in a file that is listed.
        """
        logs = self._all_logs()
        compacted, others = self._parquet()
        live = [each for each in compacted if not any(big.contains(each) for big in compacted)]
        return (
            [path for path in logs if not any(covers(each, path) for each in live)],
            [*others, *(each.path for each in live)],
        )

    def next_log(self) -> Path:
        """The log that comes behind all that there ever were."""
        numbers = [number_of(path) for path in self._all_logs()]
        numbers += [each.last for each in self._parquet()[0]]
        return self._logs / f"{max(numbers, default=0) + 1:012d}.log"

    def compact(self, log: Path, rows: Sequence[pa.Table], rebuilt: Sequence[Slice]) -> None:
        """Make one parquet file of the rows of the oldest log, and of the small files before it.

        `rebuilt` are the slices of rebuilds among the rows.
        """
        if not rows:  # a kill came before its first append
            log.unlink()
            return
        first = last = number_of(log)
        tables, slices = list(rows), [asdict(piece) for piece in rebuilt]
        num_rows = sum(table.num_rows for table in tables)
        for small in self._small(num_rows):
            tables.insert(0, pq.ParquetFile(small.path).read())
            slices += rebuilt_slices(small.path)
            first = small.first
        table = pa.concat_tables(
            [each.replace_schema_metadata(None) for each in tables], promote_options="default"
        ).replace_schema_metadata({REBUILT: json.dumps(slices)})
        write_whole(
            self.folder / f"{first:012d}-{last:012d}.parquet",
            partial(pq.write_table, table, compression="zstd"),
            staging=self._logs,
        )
        self._drop_covered()

    def has_rebuilt(self, piece: Slice) -> bool:
        """Whether a compacted file holds this slice of a rebuild."""
        if piece.since >= 0:
            return False
        return any(asdict(piece) in rebuilt_slices(each.path) for each in self._parquet()[0])

    def drop_leftovers(self) -> None:
        """Delete what a killed writer has left; no other one may be at work."""
        for left in self._logs.glob(f"*{PARTIAL}"):
            left.unlink(missing_ok=True)
        self._drop_covered()

    def drop(self) -> None:
        """Delete all files of the view."""
        for folder in (self._logs, self.folder):
            if folder.exists():
                shutil.rmtree(folder)

    def _drop_covered(self) -> None:
        compacted, _ = self._parquet()
        for path in self._all_logs():
            if any(covers(each, path) for each in compacted):
                path.unlink()
        for small in compacted:
            if any(big.contains(small) for big in compacted):
                small.path.unlink()

    def _small(self, num_rows: int) -> Iterator[Compacted]:
        """The newest compacted files that are worth rewriting with so many new rows."""
        for each in sorted(self._parquet()[0], key=lambda each: -each.last):
            size = pq.read_metadata(each.path).num_rows
            if size >= MAX_ROWS or size > GROWTH * num_rows:
                return
            num_rows += size
            yield each

    def _all_logs(self) -> list[Path]:
        return sorted(path for path in self._logs.glob("*.log") if LOG.fullmatch(path.name))

    def _parquet(self) -> tuple[list[Compacted], list[Path]]:
        """Compacted files, oldest first, and the others."""
        compacted, others = [], []
        for path in sorted(self.folder.glob("*.parquet")):
            if match := COMPACTED.fullmatch(path.name):
                first, last = map(int, match.groups())
                compacted.append(Compacted(path=path, first=first, last=last))
            else:
                others.append(path)
        return compacted, others


def covers(compacted: Compacted, log: Path) -> bool:
    """Whether the rows of a log are in a compacted file."""
    return compacted.first <= number_of(log) <= compacted.last


def number_of(log: Path) -> int:
    """The number of a log."""
    return int(log.stem)


def rebuilt_slices(path: Path) -> list[dict[str, object]]:
    """The slices of rebuilds in a compacted file."""
    found: list[dict[str, object]] = json.loads(pq.read_schema(path).metadata[REBUILT])
    return found
