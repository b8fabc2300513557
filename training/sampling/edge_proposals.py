"""Users drawn in proportion to a bound of their degree: the first half of a random edge.

A user has a slot for each edge of the pinned snapshot and for each follow that came after it, so
at least as many as edges now. Whoever draws a slot, accepts its user with chance degree / slots
and draws one of the user's edges, has drawn an edge uniformly, and nobody had to count them all.

Shapes: N users, Q proposals.
"""

import numpy as np
from numpy.typing import NDArray

from graphdb.adjacency import Adjacency


class FollowSlots:
    """Slots of the snapshot's rows, read where they lie, and of later follows, in memory."""

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
