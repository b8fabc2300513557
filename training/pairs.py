"""How strangers are drawn for connected pairs.

Shapes: Q pairs.
"""

import numpy as np
from numpy.typing import NDArray

from training.mmga.config import HardStrangers
from training.sampling.source import GraphSource, Pairs

NUM_ROUNDS = 4
"""Draws of a stranger before a pair is given up; the batch is then that much smaller."""


def draw_strangers(
    source: GraphSource,
    u_Q: NDArray[np.int64],
    v_Q: NDArray[np.int64],
    rng: np.random.Generator,
    *,
    hard: HardStrangers = "degree",
) -> Pairs:
    """Strangers for connected pairs, at most one a pair.

    Half are uniform pairs of users. Half keep one end of the pair and replace the other by the end
    of a random edge, so by degree: uniform negatives alone would reward degree. With `hard`
    two_hop the other end is a neighbour of a neighbour of the kept one, where it has any.
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
    hard: HardStrangers,
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
    """Put into these rows of `ends` whom two random steps from `kept` reach."""
    users = kept[rows]
    for _ in range(2):
        users, places = source.neighbours(relation, users, 1, rng)
        rows = rows[places]
    ends[rows] = users
