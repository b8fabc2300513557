"""A column of string ids as two memory-mapped arrays, for snapshots that all processes share."""

from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import overload

import numpy as np
from numpy.typing import NDArray

_PAGE = 10_000


class IdColumn(Sequence[str]):
    """Ids by position: `column[3]` is a str, a slice or an integer array gives a list.

    `text` is the UTF-8 of all ids, one after the other; id i is `text[offsets[i]:offsets[i + 1]]`.
    """

    __slots__ = ("_offsets", "_text")

    def __init__(self, text: NDArray[np.uint8], offsets: NDArray[np.int64]) -> None:
        self._text = text
        self._offsets = offsets

    @classmethod
    def of(cls, ids: Iterable[str]) -> "IdColumn":
        """The column of these ids, in memory."""
        encoded = [each.encode() for each in ids]
        lengths = np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded))
        offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
        return cls(np.frombuffer(b"".join(encoded), dtype=np.uint8), offsets)

    @property
    def text(self) -> NDArray[np.uint8]:
        """UTF-8 of all ids."""
        return self._text

    @property
    def offsets(self) -> NDArray[np.int64]:
        """The start offset of each id, and the end of the last one."""
        return self._offsets

    def __len__(self) -> int:
        return len(self._offsets) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice | NDArray[np.integer]) -> list[str]: ...
    def __getitem__(self, index: int | slice | NDArray[np.integer]) -> str | list[str]:
        if isinstance(index, slice):
            return self.take(np.arange(*index.indices(len(self))))
        if isinstance(index, np.ndarray) and index.ndim:
            return self.take(index)
        position = int(index)
        if not -len(self) <= position < len(self):
            raise IndexError(f"position {position} is outside a column of {len(self)} ids")
        return self.take(np.array([position % len(self)]))[0]

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), _PAGE):
            yield from self[start : start + _PAGE]

    def take(self, positions: NDArray[np.integer]) -> list[str]:
        """The ids at these positions, in their order."""
        starts, ends = self._offsets[positions], self._offsets[np.asarray(positions) + 1]
        text = self._text
        bounds = zip(starts.tolist(), ends.tolist(), strict=True)
        return [str(text[start:end].data, "utf-8") for start, end in bounds]


def id_keys(ids: Iterable[str]) -> NDArray[np.uint64]:
    """A 64-bit key of each id, the same in every snapshot: BLAKE2b-64, little-endian."""
    digests = b"".join([blake2b(each.encode(), digest_size=8).digest() for each in ids])
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


class IdIndex:
    """Finds the position of an id by binary search over sorted keys: 12 bytes an id, no strings."""

    __slots__ = ("_column", "_order", "_sorted_keys")

    def __init__(
        self, column: IdColumn, sorted_keys: NDArray[np.uint64], order: NDArray[np.int32]
    ) -> None:
        self._column = column
        self._sorted_keys = sorted_keys
        self._order = order

    @classmethod
    def of(cls, column: IdColumn) -> "IdIndex":
        """The index of a column, in memory."""
        keys = id_keys(column)
        order = np.argsort(keys, kind="stable").astype(np.int32)
        return cls(column, keys[order], order)

    def find(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """Positions (B,) of the ids; -1 where an id is not in the column."""
        keys = id_keys(ids)
        found = np.full(len(keys), -1, dtype=np.int64)
        ranks = np.searchsorted(self._sorted_keys, keys)
        inside = np.flatnonzero(ranks < len(self._sorted_keys))
        rows = inside[self._sorted_keys[ranks[inside]] == keys[inside]]
        positions = self._order[ranks[rows]]
        names = self._column.take(positions)
        for row, position, name in zip(rows.tolist(), positions.tolist(), names, strict=True):
            found[row] = position if name == ids[row] else self._next(int(ranks[row]), ids[row])
        return found

    def _next(self, rank: int, wanted: str) -> int:
        """The position of an id that shares its key with another one; -1 when it is absent."""
        key = self._sorted_keys[rank]
        while rank < len(self._sorted_keys) and self._sorted_keys[rank] == key:
            position = int(self._order[rank])
            if self._column[position] == wanted:
                return position
            rank += 1
        return -1
