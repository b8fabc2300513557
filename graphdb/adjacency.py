"""Live follows as compressed sparse rows, the form in which the graph is sampled and counted.

Shapes: N nodes (users, by index), E directed edges, B pairs.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graphdb.folds import NUM_FOLDS

NO_FOLD = 255
"""The fold of an edge that is not a follow."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Adjacency:
    """Neighbours of each node: row i is `indices[indptr[i]:indptr[i + 1]]`, ascending and unique.

    `folds` are those of the directed follow behind each edge. A mutual edge stands for two
    follows: `folds` is that of row -> neighbour and `reverse_folds` that of neighbour -> row.
    `user_keys` are identities of the nodes that do not depend on who else is in the graph.
    """

    indptr: NDArray[np.int64]  # (N + 1,)
    indices: NDArray[np.int32]  # (E,)
    folds: NDArray[np.uint8]  # (E,)
    user_keys: NDArray[np.uint64]  # (N,)
    reverse_folds: NDArray[np.uint8] | None = None  # (E,), mutual edges only

    @property
    def num_nodes(self) -> int:
        """Number of rows N."""
        return len(self.indptr) - 1

    @property
    def num_edges(self) -> int:
        """Number of directed edges E."""
        return len(self.indices)

    def degrees(self) -> NDArray[np.int64]:
        """Number of neighbours (N,) of each node."""
        return np.diff(self.indptr)

    def neighbours(self, node: int) -> NDArray[np.int32]:
        """Neighbours of one node, ascending; a view."""
        return self.indices[self.indptr[node] : self.indptr[node + 1]]

    def rows(self) -> NDArray[np.int32]:
        """The row (E,) of each edge."""
        return np.repeat(np.arange(self.num_nodes, dtype=np.int32), self.degrees())

    def pairs(self, folds: Collection[int] | None = None) -> NDArray[np.int32]:
        """(row, neighbour) of each edge as (E', 2); of `folds` alone where they are given.

        A mutual edge is of the fold of row -> neighbour.
        """
        pairs = np.stack([self.rows(), self.indices], axis=1)
        return pairs if folds is None else pairs[_membership(folds)[self.folds]]

    def contains(
        self, rows: NDArray[np.integer], columns: NDArray[np.integer]
    ) -> NDArray[np.bool_]:
        """Whether each pair (row, column) (B,) is an edge; binary search, all pairs at once."""
        low = self.indptr[rows]
        end = self.indptr[np.asarray(rows) + 1]
        if not self.num_edges:
            return np.zeros(len(low), dtype=np.bool_)
        high = end.copy()
        last = self.num_edges - 1
        for _ in range(int((end - low).max(initial=0)).bit_length()):
            middle = (low + high) >> 1
            below = (self.indices[np.minimum(middle, last)] < columns) & (middle < high)
            low = np.where(below, middle + 1, low)
            high = np.where(below, high, middle)
        found: NDArray[np.bool_] = (low < end) & (self.indices[np.minimum(low, last)] == columns)
        return found

    def without_folds(self, folds: Collection[int]) -> "Adjacency":
        """The same nodes without the edges of these folds, arrays in memory.

        A mutual edge goes when either of its two follows does.
        """
        removed = _membership(folds)
        kept = ~removed[self.folds]
        if self.reverse_folds is not None:
            kept &= ~removed[self.reverse_folds]
        return Adjacency(
            indptr=np.concatenate(([0], np.cumsum(kept)))[self.indptr],
            indices=self.indices[kept],
            folds=self.folds[kept],
            user_keys=self.user_keys,
            reverse_folds=None if self.reverse_folds is None else self.reverse_folds[kept],
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SnapshotGraph:
    """One set of follows seen in three ways, over the same nodes.

    Row u of `followees` are those whom u follows, row u of `followers` those who follow u, row u
    of `mutual` those of whom both are true. Folds are always those of follower -> followee.
    """

    followees: Adjacency
    followers: Adjacency
    mutual: Adjacency

    @property
    def num_nodes(self) -> int:
        """Number of users N."""
        return self.followees.num_nodes

    def without_folds(self, folds: Collection[int]) -> "SnapshotGraph":
        """The graph as if the follows of these folds did not exist."""
        return SnapshotGraph(
            followees=self.followees.without_folds(folds),
            followers=self.followers.without_folds(folds),
            mutual=self.mutual.without_folds(folds),
        )


def graph_of_follows(
    num_nodes: int,
    followers: NDArray[np.integer],
    followees: NDArray[np.integer],
    folds: NDArray[np.uint8],
    user_keys: NDArray[np.uint64] | None = None,
) -> SnapshotGraph:
    """Arrange follows (E,), given by the indices of their ends in any order, as rows.

    Without `user_keys` a node's key is its index. Raises ValueError when a follow is given twice.
    """
    keys = np.arange(num_nodes, dtype=np.uint64) if user_keys is None else user_keys
    source, target = np.asarray(followers, dtype=np.int64), np.asarray(followees, dtype=np.int64)
    out_keys, out_folds = _sorted_edges(source * num_nodes + target, folds)
    in_keys, in_folds = _sorted_edges(target * num_nodes + source, folds)
    if (out_keys[1:] == out_keys[:-1]).any():
        raise ValueError("a follow is given twice: pass each pair (follower, followee) once")
    # A pair (a, b) is mutual when it is both an edge a -> b and, seen from b, an edge b -> a.
    position = np.minimum(np.searchsorted(in_keys, out_keys), max(len(in_keys) - 1, 0))
    mutual = in_keys[position] == out_keys
    return SnapshotGraph(
        followees=_rows_of_keys(num_nodes, out_keys, out_folds, keys),
        followers=_rows_of_keys(num_nodes, in_keys, in_folds, keys),
        mutual=_rows_of_keys(
            num_nodes, out_keys[mutual], out_folds[mutual], keys, in_folds[position[mutual]]
        ),
    )


def rows_of_pairs(
    num_nodes: int,
    rows: NDArray[np.integer],
    columns: NDArray[np.integer],
    user_keys: NDArray[np.uint64],
) -> Adjacency:
    """Arrange distinct pairs (E,) that are no follows, and so are of no fold, as rows."""
    keys = np.sort(np.asarray(rows, dtype=np.int64) * num_nodes + columns)
    return _rows_of_keys(num_nodes, keys, np.full(len(keys), NO_FOLD, np.uint8), user_keys)


def _sorted_edges(
    keys: NDArray[np.int64], folds: NDArray[np.uint8]
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    order = np.argsort(keys)
    return keys[order], folds[order]


def _rows_of_keys(
    num_nodes: int,
    edge_keys: NDArray[np.int64],
    folds: NDArray[np.uint8],
    user_keys: NDArray[np.uint64],
    reverse_folds: NDArray[np.uint8] | None = None,
) -> Adjacency:
    rows, columns = np.divmod(edge_keys, max(num_nodes, 1))
    degrees = np.bincount(rows, minlength=num_nodes)
    return Adjacency(
        indptr=np.concatenate(([0], np.cumsum(degrees))).astype(np.int64),
        indices=columns.astype(np.int32),
        folds=folds,
        user_keys=user_keys,
        reverse_folds=reverse_folds,
    )


def _membership(folds: Collection[int]) -> NDArray[np.bool_]:
    """A table (256,): whether each fold is one of these."""
    outside = [fold for fold in folds if not 0 <= fold < NUM_FOLDS]
    if outside:
        raise ValueError(f"fold {outside[0]} does not exist: folds are 0 to {NUM_FOLDS - 1}")
    table = np.zeros(256, dtype=np.bool_)
    table[list(folds)] = True
    return table
