"""Fixed-size rows in one append-only file, each under a number, memory-mapped to read.

Rows are flushed before their numbers. After a crash, the next writer truncates both files to the
length of the shorter one.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

FLUSH_EVERY = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFile:
    """Rows of `shape` uint8 in `folder`. One process appends at a time; readers need no lock."""

    folder: Path
    shape: tuple[int, ...]

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        return min(size(self.folder / "rows") // self.row_bytes, size(self.folder / "numbers") // 8)

    def numbers(self) -> NDArray[np.uint64]:
        """The number of each row, in the order of the rows."""
        if not len(self):
            return np.empty(0, np.uint64)
        return np.fromfile(self.folder / "numbers", np.uint64, count=len(self))

    def rows(self, num_rows: int | None = None) -> NDArray[np.uint8]:
        """The first rows, all by default, (num_rows, *shape), memory-mapped read-only."""
        num_rows = len(self) if num_rows is None else num_rows
        if not num_rows:
            return np.empty((0, *self.shape), np.uint8)
        return np.memmap(self.folder / "rows", np.uint8, mode="r", shape=(num_rows, *self.shape))

    def append(self, rows: Iterable[tuple[int, NDArray[np.uint8]]]) -> None:
        """Append numbered rows, a few hundred at a time, each group durable before the next."""
        self.folder.mkdir(parents=True, exist_ok=True)
        num_rows = len(self)
        with (self.folder / "rows").open("ab") as data, (self.folder / "numbers").open("ab") as ids:
            data.truncate(num_rows * self.row_bytes)
            ids.truncate(num_rows * 8)
            waiting = iter(rows)
            while group := list(islice(waiting, FLUSH_EVERY)):
                data.write(b"".join(row.tobytes() for _, row in group))
                flush(data)
                ids.write(np.array([number for number, _ in group], np.uint64).tobytes())
                flush(ids)


def flush(file: BinaryIO) -> None:
    """Make what was written durable."""
    file.flush()
    os.fsync(file.fileno())


def size(path: Path) -> int:
    """Bytes of a file, 0 when there is none."""
    return path.stat().st_size if path.exists() else 0
