"""Which pairs of users may stand as strangers: as negatives of training.

Shapes: Q pairs.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from graphdb.folds import HELD_OUT_FOLDS, folds_of_pairs
from graphdb.snapshot.id_column import IdColumn


class Follows(Protocol):
    """Tells which pairs (follower, followee) are follows, of any fold."""

    def contains(  # noqa: D102
        self, rows: NDArray[np.integer], columns: NDArray[np.integer]
    ) -> NDArray[np.bool_]: ...


class Strangers:
    """Pairs that may be negatives: no true edge, and of no held-out fold.

    `follows` are all there are, so held-out edges are never negatives. But to leave out just
    these would tell a model that memorises which pairs are held-out edges: they would be the only
    strangers it never saw as negatives. So every pair of a held-out fold, edge or not, is left out.
    """

    def __init__(self, follows: Follows, user_ids: IdColumn, *, directed: bool) -> None:
        self.follows = follows
        self.user_ids = user_ids
        self.directed = directed

    def allowed(self, u_Q: NDArray[np.int64], v_Q: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which pairs may be negatives; for undirected ones neither direction is an edge."""
        allowed = (u_Q != v_Q) & ~self.follows.contains(u_Q, v_Q)
        if not self.directed:
            allowed &= ~self.follows.contains(v_Q, u_Q)
        left = np.flatnonzero(allowed)
        held_out = self._held_out(u_Q[left], v_Q[left])
        if not self.directed:
            held_out |= self._held_out(v_Q[left], u_Q[left])
        allowed[left] = ~held_out
        return allowed

    def _held_out(self, u: NDArray[np.int64], v: NDArray[np.int64]) -> NDArray[np.bool_]:
        users, local = np.unique(np.concatenate([u, v]), return_inverse=True)
        folds = folds_of_pairs(self.user_ids[users], local[: len(u)], local[len(u) :])
        held_out: NDArray[np.bool_] = folds < len(HELD_OUT_FOLDS)
        return held_out
