"""Negatives of training: pairs of users that are no edge, drawn for connected pairs.

Shapes: Q pairs.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from graphdb.folds import HELD_OUT_FOLDS, folds_of_pairs
from graphdb.snapshot.id_column import IdColumn
from training.sampling.config import HardNegatives
from training.sampling.source import GraphSource, Pairs

NUM_ROUNDS = 4
"""Attempts to draw a negative before its pair is dropped from the batch."""


class Follows(Protocol):
    """Membership of pairs (follower, followee) in the follows of all folds."""

    def contains(  # noqa: D102
        self, rows: NDArray[np.integer], columns: NDArray[np.integer]
    ) -> NDArray[np.bool_]: ...


class NegativeFilter:
    """Pairs that may be negatives: no true edge, and of no held-out fold.

    `follows` has all folds, so held-out edges are never negatives. If only these were excluded, a
    model that memorises its negatives could infer them, as the only pairs that are never negatives.
    So all pairs of the held-out folds, edges or not, are excluded.
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


def draw_negatives(
    source: GraphSource,
    u_Q: NDArray[np.int64],
    v_Q: NDArray[np.int64],
    rng: np.random.Generator,
    *,
    hard: HardNegatives = "degree",
) -> Pairs:
    """Negatives for connected pairs, at most one a pair.

    Half are uniform pairs of users. The other half keep one user of the pair and replace the other
    by the end of a random edge (in proportion to degree), since uniform negatives alone would
    reward degree. With `hard` "two_hop" the replacement is a neighbour of a neighbour of the kept
    user, if there is one.
    """
    out_u, out_v = np.empty(0, np.int64), np.empty(0, np.int64)
    wanted = np.arange(len(u_Q))
    for _ in range(NUM_ROUNDS):
        new_u, new_v = _candidates(source, u_Q[wanted], v_Q[wanted], wanted, rng, hard)
        good = source.allowed(new_u, new_v)
        out_u, out_v = np.append(out_u, new_u[good]), np.append(out_v, new_v[good])
        wanted = wanted[~good]
        if not len(wanted):
            break
    return out_u, out_v


def _candidates(
    source: GraphSource,
    u: NDArray[np.int64],
    v: NDArray[np.int64],
    numbers: NDArray[np.int64],
    rng: np.random.Generator,
    hard: HardNegatives,
) -> Pairs:
    size = len(u)
    uniform_u = rng.integers(0, source.num_users, size)
    uniform_v = rng.integers(0, source.num_users, size)
    random_u, random_v = source.random_edges(size, rng)
    new_u, new_v = u.copy(), v.copy()
    keep_u = rng.random(size) < 0.5
    new_v[keep_u], new_u[~keep_u] = random_v[keep_u], random_u[~keep_u]
    uniform = numbers % 2 == 0
    if hard == "two_hop":
        _step_twice(source, u, new_v, np.flatnonzero(keep_u & ~uniform), 0, rng)
        back = source.num_follow_relations - 1  # against the direction of follows
        _step_twice(source, v, new_u, np.flatnonzero(~keep_u & ~uniform), back, rng)
    return np.where(uniform, uniform_u, new_u), np.where(uniform, uniform_v, new_v)


def _step_twice(
    source: GraphSource,
    kept: NDArray[np.int64],
    ends: NDArray[np.int64],
    rows: NDArray[np.int64],
    relation: int,
    rng: np.random.Generator,
) -> None:
    """Set these rows of `ends` to the users that a random walk of two steps from `kept` reaches."""
    users = kept[rows]
    for _ in range(2):
        users, positions = source.neighbours(relation, users, 1, rng)
        rows = rows[positions]
    ends[rows] = users
