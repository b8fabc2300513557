"""Vectors of posts that an encoder has given, kept for the next snapshot that has the same posts.

    post_inputs/vectors/DIGEST/    one vector a content, append-only, under the content's hash

DIGEST names the weights and options of the encoder. A vector is computed once and then kept: where
a content is encoded again in other company, the last bits of a matrix product may differ. The
folders are a cache: without them the next encoding computes the vectors anew.

Shapes: C contents, D width.
"""

import shutil
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from training.inputs.row_file import RowFile

KEPT_ENCODERS = 8
"""Two of a generation, for texts and for images."""

Vectors = tuple[NDArray[np.uint64], NDArray[np.float32]]
"""Hashes of contents (C,), and their vectors (C, D)."""


class KeptVectors:
    """The kept vectors of one encoder as they were when they were opened, and `fresh` ones.

    Fresh vectors are not found: what is found does not depend on the order of the work.
    """

    def __init__(self, folder: Path, width: int) -> None:
        self.file = RowFile(folder=folder, shape=(width * 4,))
        self.width = width
        self.fresh: list[Vectors] = []

    def find(self, hashes_C: NDArray[np.uint64]) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """Which contents are known (C,), and the vectors of those, in their order."""
        numbers, order = self._sorted
        places = np.searchsorted(numbers, hashes_C)
        known = np.zeros(len(hashes_C), np.bool_)
        inside = places < len(numbers)
        known[inside] = numbers[places[inside]] == hashes_C[inside]
        rows = self.file.rows(len(numbers))[order[places[known]]]
        return known, np.ascontiguousarray(rows).view(np.float32).reshape(-1, self.width)

    def add(self, hashes_C: NDArray[np.uint64], vectors_CD: NDArray[np.float32]) -> None:
        """Take vectors that are to be kept."""
        self.fresh.append((hashes_C, vectors_CD))

    @cached_property
    def _sorted(self) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        numbers = self.file.numbers()
        order = np.argsort(numbers)
        return numbers[order], order


def keep(folder: Path, width: int, fresh: Iterable[Vectors]) -> None:
    """Append the vectors of contents that have none yet, and drop the oldest encoders' folders."""
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / ".lock", poll_interval=0.05):
        file = RowFile(folder=folder, shape=(width * 4,))
        known = set(file.numbers().tolist())
        for hashes, vectors in fresh:
            rows = np.ascontiguousarray(vectors).view(np.uint8)
            new: dict[int, NDArray[np.uint8]] = {}
            for number, row in zip(hashes.tolist(), rows, strict=True):
                if number not in known:
                    new.setdefault(number, row)
            file.append(new.items())
            known |= new.keys()
        folder.touch()
        drop_old(folder.parent)


def drop_old(vectors: Path) -> None:
    """Delete all but the folders that were written last."""
    folders = [path for path in vectors.iterdir() if path.is_dir()]
    newest = sorted(folders, key=lambda path: path.stat().st_mtime, reverse=True)
    for path in newest[KEPT_ENCODERS:]:
        shutil.rmtree(path)
