"""Proposals for rejection sampling of edges: users drawn in proportion to an upper bound of degree.

A user has one slot for each edge of the pinned snapshot and for each later follow, so at least as
many slots as current edges. To draw an edge uniformly without counting all edges: draw a slot,
accept its user with probability degree / slots, and draw one of the user's edges.

Shapes: N users, Q proposals.
"""

import numpy as np
from numpy.typing import NDArray

from graphdb.adjacency import Adjacency


class FollowSlots:
    """Slots of the snapshot's edges, memory-mapped, and of later follows, in memory."""

    def __init__(self, edges: Adjacency) -> None:
        self._indptr = edges.indptr
        self._later = np.empty(0, dtype=np.int64)

    def __len__(self) -> int:
        return int(self._indptr[-1]) + len(self._later)

    def add(self, users: NDArray[np.int64]) -> None:
        """One more slot for each of these users."""
        ascending = np.sort(users)
        positions = np.searchsorted(self._later, ascending)
        self._later = np.insert(self._later, positions, ascending)

    def propose(self, count: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], ...]:
        """Users (Q,) drawn by their slots, and how many slots each of them has."""
        later, num_pinned = self._later, int(self._indptr[-1])
        numbers = rng.integers(0, num_pinned + len(later), count)
        users = np.searchsorted(self._indptr, numbers, side="right") - 1
        is_later = numbers >= num_pinned
        users[is_later] = later[numbers[is_later] - num_pinned]
        pinned = self._indptr[users + 1] - self._indptr[users]
        more = np.searchsorted(later, users, side="right") - np.searchsorted(later, users)
        return users.astype(np.int64), pinned + more
