"""Samples one hop: a few neighbours of each target, as nodes of the graph.

Vectorised over compressed sparse rows: time is in proportion to the sampled edges, not to all edges
(only `lowest_hash_one_hop` reads every neighbour of its targets).

Shapes: R targets, E_s edges sampled.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from foundation.splitmix64 import mixed
from graphdb.adjacency import Adjacency

ALL = -1
"""The fan-out that takes every neighbour."""

_MAX_EDGES_AT_ONCE = 1 << 22


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SampledHop:
    """The edges that one hop sampled, grouped by target in the order of the targets.

    `neighbours` are nodes, `targets` positions among the targets as given, and `edge_ids`
    positions in the arrays of the adjacency.
    """

    neighbours: NDArray[np.int32]  # (E_s,)
    targets: NDArray[np.int32]  # (E_s,)
    edge_ids: NDArray[np.int64]  # (E_s,)


def sample_one_hop(
    adjacency: Adjacency,
    targets: NDArray[np.integer],
    fan_out: int,
    rng: np.random.Generator,
    *,
    replace: bool = False,
) -> SampledHop:
    """Sample up to `fan_out` neighbours of each target (R,), uniformly and without replacement.

    A target with fewer neighbours gives them all. With `replace` exactly `fan_out` neighbours are
    drawn of every target that has any. A fan-out of -1 takes all neighbours. The result is a
    function of the arguments and the state of `rng`.
    """
    check(adjacency.num_nodes, targets, (fan_out,))
    if fan_out == ALL:
        return _hop(adjacency, _all_edges(adjacency, targets))
    draw = _drawn_again if replace else _drawn
    return _hop(adjacency, draw(adjacency, targets, fan_out, rng))


def lowest_hash_one_hop(
    adjacency: Adjacency, targets: NDArray[np.integer], fan_out: int, salt: bytes
) -> SampledHop:
    """The neighbours with the lowest hash(salt, user, neighbour) of each target (R,).

    Used for inference: the hash depends only on the ids of both users and the salt, not on indices,
    other targets or other users. So repeated computation gives the same vector, and a new neighbour
    displaces at most one.
    """
    check(adjacency.num_nodes, targets, (fan_out,))
    if fan_out == ALL:
        return _hop(adjacency, _all_edges(adjacency, targets))
    word = np.frombuffer(blake2b(salt, digest_size=8).digest(), dtype="<u8").astype(np.uint64)[0]
    return _hop(adjacency, _lowest(adjacency, targets, fan_out, word))


def check(num_nodes: int, targets: NDArray[np.integer], fan_outs: Sequence[int]) -> None:
    """Raise ValueError for nodes that are not in the graph and for impossible fan-outs."""
    if len(targets) and not 0 <= targets.min() <= targets.max() < num_nodes:
        raise ValueError(f"seeds must be 0 to {num_nodes - 1}: drop the users not found (-1)")
    if any(fan_out < ALL for fan_out in fan_outs):
        raise ValueError(f"fan-outs must be at least 0, or -1 for all, not {tuple(fan_outs)}")


_Picked = tuple[NDArray[np.int64], NDArray[np.int32]]
"""Edge ids, and for each the position of its target among the targets."""


def _hop(adjacency: Adjacency, picked: _Picked) -> SampledHop:
    edge_ids, targets = picked
    return SampledHop(neighbours=adjacency.indices[edge_ids], targets=targets, edge_ids=edge_ids)


def _all_edges(one: Adjacency, nodes: NDArray[np.integer]) -> _Picked:
    starts = one.indptr[nodes]
    return _leading_edges(starts, one.indptr[nodes + 1] - starts)


def _leading_edges(starts: NDArray[np.int64], counts: NDArray[np.int64]) -> _Picked:
    """The first `counts` edges of each row that begins at `starts`."""
    ends = np.cumsum(counts)
    positions = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    edge_ids = np.repeat(starts - ends + counts, counts)
    edge_ids += np.arange(len(edge_ids))
    return edge_ids, positions


def _drawn_again(
    one: Adjacency, nodes: NDArray[np.integer], fan_out: int, rng: np.random.Generator
) -> _Picked:
    """With replacement: the fan-out of each node that has neighbours."""
    starts = one.indptr[nodes]
    degrees = one.indptr[nodes + 1] - starts
    positions = np.flatnonzero(degrees).astype(np.int32)
    draws = rng.random((len(positions), fan_out)) * degrees[positions, None]
    edge_ids = starts[positions, None] + draws.astype(np.int64)
    return edge_ids.ravel(), np.repeat(positions, fan_out)


def _drawn(
    one: Adjacency, nodes: NDArray[np.integer], fan_out: int, rng: np.random.Generator
) -> _Picked:
    """Without replacement: all edges of small rows, `fan_out` drawn ones of the others."""

    def draw(rows: NDArray[np.int64], degrees: NDArray[np.int64]) -> NDArray[np.int64]:
        return _distinct(degrees, fan_out, rng)

    return _capped(one, nodes, fan_out, draw)


def _capped(
    one: Adjacency,
    nodes: NDArray[np.integer],
    fan_out: int,
    choose: Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.int64]],
) -> _Picked:
    """All edges of rows within the fan-out; of the others those that `choose` names.

    `choose` is given the positions of the long rows and their degrees (R,) and returns, for each,
    the offsets (R, fan_out) of the edges in its row.
    """
    starts = one.indptr[nodes]
    degrees = one.indptr[nodes + 1] - starts
    counts = np.minimum(degrees, fan_out)
    edge_ids, positions = _leading_edges(starts, counts)
    long = np.flatnonzero(degrees > fan_out)
    if fan_out and len(long):
        slots = (np.cumsum(counts)[long] - fan_out)[:, None] + np.arange(fan_out)
        edge_ids[slots] = starts[long, None] + choose(long, degrees[long])
    return edge_ids, positions


def _distinct(sizes: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """For each size a uniformly random subset (R, count) of range(size), all rows at once.

    Robert Floyd's algorithm (Bentley, Programming Pearls: a sample of brilliance, 1987): step i
    draws from one number more than step i - 1, and takes that new number instead of one that is
    taken already.
    """
    chosen = np.empty((count, len(sizes)), dtype=np.int64)
    draws = rng.random((count, len(sizes)))
    for step in range(count):
        newest = sizes - (count - step)
        drawn = (draws[step] * (newest + 1)).astype(np.int64)
        taken = (chosen[:step] == drawn).any(axis=0)
        chosen[step] = np.where(taken, newest, drawn)
    return chosen.T


def _lowest(one: Adjacency, nodes: NDArray[np.integer], fan_out: int, salt: np.uint64) -> _Picked:
    """Of each long row the edges with the lowest hashes, lowest first."""
    starts, user_keys = one.indptr[nodes], one.user_keys

    def choose(rows: NDArray[np.int64], degrees: NDArray[np.int64]) -> NDArray[np.int64]:
        offsets = np.empty((len(rows), fan_out), dtype=np.int64)
        salted = mixed(user_keys[nodes[rows]] ^ salt)
        # Long rows are many edges: a part of the rows at a time keeps the memory bounded.
        cuts = np.flatnonzero(np.diff(np.cumsum(degrees) // _MAX_EDGES_AT_ONCE, prepend=0))
        for part in np.split(np.arange(len(rows)), cuts):
            edge_ids, positions = _leading_edges(starts[rows[part]], degrees[part])
            hashes = mixed(salted[part][positions] ^ user_keys[one.indices[edge_ids]])
            offsets[part] = _lowest_of_rows(hashes, positions, degrees[part], fan_out)
        return offsets

    return _capped(one, nodes, fan_out, choose)


def _lowest_of_rows(
    hashes: NDArray[np.uint64], positions: NDArray[np.int32], degrees: NDArray[np.int64], count: int
) -> NDArray[np.int64]:
    """Offsets (R, count) of the lowest hashes of each row; equal ones in the order of the row."""
    # Hashes are uniform, so the least `count` of a row nearly always lie below this bound; only
    # what does is sorted, and a row that is short of it is sorted whole.
    bounds = np.minimum((count + 4.0 * np.sqrt(count) + 8.0) / degrees, 1.0)
    below = hashes <= (bounds * _GREATEST_FLOAT).astype(np.uint64)[positions]
    short = np.bincount(positions[below], minlength=len(degrees)) < count
    if short.any():
        below |= short[positions]
    candidates = np.flatnonzero(below)
    rows = positions[candidates]
    order = np.lexsort((hashes[candidates], rows))
    first = np.searchsorted(rows[order], np.arange(len(degrees)))
    lowest = candidates[order[first[:, None] + np.arange(count)]]
    return np.asarray(lowest - (np.cumsum(degrees) - degrees)[:, None], dtype=np.int64)


# The greatest float64 below 2**64, so that the conversion to uint64 never overflows.
_GREATEST_FLOAT = float(np.nextafter(2.0**64, 0))
