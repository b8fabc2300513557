"""Which pairs of users may stand as strangers, and how strangers are drawn.

Shapes: Q pairs.
"""

import numpy as np
from numpy.typing import NDArray

from graphdb.adjacency import Adjacency, SnapshotGraph
from graphdb.folds import HELD_OUT_FOLDS, folds_of_pairs
from graphdb.id_column import IdColumn

NUM_ROUNDS = 4
"""Draws of a stranger before a pair is given up; the batch is then that much smaller."""


class Strangers:
    """Pairs that may be negatives: no true edge, and of no held-out fold.

    The graph is the whole one, so held-out edges are never negatives. But to leave out just these
    would tell a model that memorises which pairs are held-out edges: they would be the only
    strangers it never saw as negatives. So every pair of a held-out fold, edge or not, is left out.
    """

    def __init__(self, graph: SnapshotGraph, user_ids: IdColumn, *, directed: bool) -> None:
        self.followees = graph.followees
        self.user_ids = user_ids
        self.directed = directed

    def allowed(self, u_Q: NDArray[np.int64], v_Q: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which pairs may be negatives; for undirected ones neither direction is an edge."""
        allowed = (u_Q != v_Q) & ~self.followees.contains(u_Q, v_Q)
        if not self.directed:
            allowed &= ~self.followees.contains(v_Q, u_Q)
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


def draw_strangers(
    strangers: Strangers,
    edges: Adjacency,
    u_Q: NDArray[np.int64],
    v_Q: NDArray[np.int64],
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Strangers for connected pairs, at most one a pair.

    Half are uniform pairs of users. Half keep one end of the pair and replace the other by the end
    of a random edge, so by degree: uniform negatives alone would reward degree.
    """
    out_u, out_v = np.empty(0, np.int64), np.empty(0, np.int64)
    wanted = np.arange(len(u_Q))
    for _ in range(NUM_ROUNDS):
        new_u, new_v = _candidates(edges, u_Q[wanted], v_Q[wanted], wanted, rng)
        good = strangers.allowed(new_u, new_v)
        out_u, out_v = np.append(out_u, new_u[good]), np.append(out_v, new_v[good])
        wanted = wanted[~good]
        if not len(wanted):
            break
    return out_u, out_v


def _candidates(
    edges: Adjacency,
    u: NDArray[np.int64],
    v: NDArray[np.int64],
    numbers: NDArray[np.int64],
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    size = len(u)
    uniform_u = rng.integers(0, edges.num_nodes, size)
    uniform_v = rng.integers(0, edges.num_nodes, size)
    random_edges = rng.integers(0, edges.num_edges, size)
    new_u, new_v = u.copy(), v.copy()
    keep_u = rng.random(size) < 0.5
    new_v[keep_u] = edges.indices[random_edges[keep_u]]
    new_u[~keep_u] = ends_of(edges, random_edges[~keep_u])[0]
    uniform = numbers % 2 == 0
    return np.where(uniform, uniform_u, new_u), np.where(uniform, uniform_v, new_v)


def ends_of(
    edges: Adjacency, numbers: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and neighbour of edges given by number."""
    rows = np.searchsorted(edges.indptr, numbers, side="right") - 1
    return rows.astype(np.int64), edges.indices[numbers].astype(np.int64)
