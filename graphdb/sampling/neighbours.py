"""Samples the surroundings of users: a few neighbours of each, then a few of theirs.

Vectorised over compressed sparse rows: the work is in proportion to the edges that are sampled,
not to those that are there (`nearest_by_hash` alone looks at every neighbour of what it expands).

Shapes: B seeds, N nodes of the graph, N_s nodes and E_s edges sampled, R rows expanded in a hop.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from foundation.splitmix64 import mixed
from graphdb.adjacency import Adjacency

ScalarT = TypeVar("ScalarT", bound=np.generic)

ALL = -1
"""The fan-out that takes every neighbour."""

_MAX_EDGES_AT_ONCE = 1 << 22


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SampledSubgraph:
    """What was sampled, nodes and edges in the order of the hops; messages flow `rows` -> `cols`.

    `nodes` begins with the seeds as given; all others occur once. `rows` (the neighbour) and
    `cols` (the node that it is a neighbour of) are positions in `nodes`. `edge_ids` are positions
    in the arrays of the adjacency (a database has none); `relations` tells which adjacency, where
    several were given.
    """

    nodes: NDArray[np.int32]  # (N_s,)
    rows: NDArray[np.int32]  # (E_s,)
    cols: NDArray[np.int32]  # (E_s,)
    edge_ids: NDArray[np.int64] | None  # (E_s,)
    relations: NDArray[np.uint8]  # (E_s,)
    nodes_per_hop: tuple[int, ...]  # the seeds, then what each hop added
    edges_per_hop: tuple[int, ...]

    @property
    def num_edges(self) -> int:
        """Number of sampled edges E_s."""
        return len(self.rows)


Picked = tuple[NDArray[np.int64], NDArray[np.int32]]
"""Edge ids, and for each the place among the expanded nodes of the one that it belongs to."""

Pick = Callable[[Adjacency, NDArray[np.int32], int], Picked]
"""(adjacency, nodes (R,), fan-out) -> the edges picked, grouped by node in order."""


def sample_neighbours(
    adjacency: Adjacency | Sequence[Adjacency],
    seeds: NDArray[np.integer],
    fan_outs: Sequence[int],
    rng: np.random.Generator,
    *,
    replace: bool = False,
) -> SampledSubgraph:
    """Sample up to `fan_outs[h]` neighbours of each node that hop h - 1 added (hop 0: the seeds).

    Uniform and without replacement: a node with fewer neighbours gives them all. With `replace`
    every node with neighbours gives exactly the fan-out. A fan-out of -1 takes all neighbours.
    Several adjacencies over the same nodes are sampled side by side, the fan-out for each. A seed
    given twice is sampled twice. The result is a function of the arguments and the state of `rng`.
    """

    def pick(one: Adjacency, nodes: NDArray[np.int32], fan_out: int) -> Picked:
        if fan_out == ALL:
            return _all_edges(one, nodes)
        draw = _drawn_again if replace else _drawn
        return draw(one, nodes, fan_out, rng)

    return _grow(adjacency, seeds, fan_outs, pick)


def nearest_by_hash(
    adjacency: Adjacency | Sequence[Adjacency],
    seeds: NDArray[np.integer],
    fan_outs: Sequence[int],
    salt: bytes,
) -> SampledSubgraph:
    """Take of each node the neighbours with the smallest hash(salt, user, neighbour).

    The neighbourhood of inference: what is taken depends on the ids of the two users and the salt
    alone, not on indices, seeds or who else is in the graph, so a vector computed twice is the
    same, and one more neighbour displaces at most one.
    """
    word = np.frombuffer(blake2b(salt, digest_size=8).digest(), dtype="<u8").astype(np.uint64)[0]

    def pick(one: Adjacency, nodes: NDArray[np.int32], fan_out: int) -> Picked:
        return _all_edges(one, nodes) if fan_out == ALL else _least(one, nodes, fan_out, word)

    return _grow(adjacency, seeds, fan_outs, pick)


def _grow(
    adjacency: Adjacency | Sequence[Adjacency],
    seeds: NDArray[np.integer],
    fan_outs: Sequence[int],
    pick: Pick,
) -> SampledSubgraph:
    adjacencies = [adjacency] if isinstance(adjacency, Adjacency) else list(adjacency)
    _check(adjacencies, seeds, fan_outs)
    nodes = np.asarray(seeds, dtype=np.int32)
    numbering = Numbering(adjacencies[0].num_nodes, nodes)
    edges: list[tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]] = []
    hop_starts = [0]
    for fan_out in fan_outs:
        start = hop_starts[-1]
        frontier = numbering.nodes[start:]
        hop_starts.append(len(numbering.nodes))
        for one in adjacencies:
            edge_ids, places = pick(one, frontier, fan_out)
            rows = numbering.number(one.indices[edge_ids])
            edges.append((rows, places + np.int32(start), edge_ids))
    num_edges = np.array([len(rows) for rows, _, _ in edges], dtype=np.int64)
    relations = np.tile(np.arange(len(adjacencies), dtype=np.uint8), len(fan_outs))
    return SampledSubgraph(
        nodes=numbering.nodes,
        rows=_joined([rows for rows, _, _ in edges], np.int32),
        cols=_joined([cols for _, cols, _ in edges], np.int32),
        edge_ids=_joined([edge_ids for _, _, edge_ids in edges], np.int64),
        relations=np.repeat(relations, num_edges),
        nodes_per_hop=tuple(np.diff([0, *hop_starts[1:], len(numbering.nodes)]).tolist()),
        edges_per_hop=tuple(num_edges.reshape(-1, len(adjacencies)).sum(axis=1).tolist()),
    )


def _joined(parts: list[NDArray[ScalarT]], dtype: type[ScalarT]) -> NDArray[ScalarT]:
    return np.concatenate([np.empty(0, dtype=dtype), *parts])


def _check(
    adjacencies: Sequence[Adjacency], seeds: NDArray[np.integer], fan_outs: Sequence[int]
) -> None:
    num_nodes = {one.num_nodes for one in adjacencies}
    if len(num_nodes) != 1:
        raise ValueError(f"adjacencies must be over the same nodes, these have {num_nodes}")
    if len(seeds) and not 0 <= seeds.min() <= seeds.max() < min(num_nodes):
        raise ValueError(f"seeds must be 0 to {min(num_nodes) - 1}: drop the users not found (-1)")
    if any(fan_out < ALL for fan_out in fan_outs):
        raise ValueError(f"fan-outs must be at least 0, or -1 for all, not {tuple(fan_outs)}")


class Numbering:
    """Numbers nodes in the order of their first appearance, without sorting or hashing.

    `_place[node]` is the node's number if `nodes` holds the node at that number, and anything
    otherwise (a sparse set), so that no array of N numbers has to be filled first.
    """

    def __init__(self, num_nodes: int, seeds: NDArray[np.int32]) -> None:
        self._place = np.empty(num_nodes, dtype=np.uint32)
        self._place[seeds] = np.arange(len(seeds), dtype=np.uint32)
        self.nodes = seeds

    def number(self, nodes: NDArray[np.int32]) -> NDArray[np.int32]:
        """The numbers of these nodes; those that appear for the first time are appended."""
        new = nodes[~self._is_known(nodes)]
        count = len(self.nodes)
        guess = np.arange(count, count + len(new), dtype=np.uint32)
        # Of several writes to one place the last one stays: written backwards, the first one.
        self._place[new[::-1]] = guess[::-1]
        first = new[self._place[new] == guess]
        self._place[first] = guess[: len(first)]
        self.nodes = np.concatenate((self.nodes, first))
        return self._place[nodes].view(np.int32)

    def _is_known(self, nodes: NDArray[np.int32]) -> NDArray[np.bool_]:
        last = np.uint32(max(len(self.nodes) - 1, 0))
        place = np.minimum(self._place[nodes], last)
        known: NDArray[np.bool_] = self.nodes[place] == nodes
        return known


def _all_edges(one: Adjacency, nodes: NDArray[np.int32]) -> Picked:
    starts = one.indptr[nodes]
    return _leading_edges(starts, one.indptr[nodes + 1] - starts)


def _leading_edges(starts: NDArray[np.int64], counts: NDArray[np.int64]) -> Picked:
    """The first `counts` edges of each row that begins at `starts`."""
    ends = np.cumsum(counts)
    places = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    edge_ids = np.repeat(starts - ends + counts, counts)
    edge_ids += np.arange(len(edge_ids))
    return edge_ids, places


def _drawn_again(
    one: Adjacency, nodes: NDArray[np.int32], fan_out: int, rng: np.random.Generator
) -> Picked:
    """With replacement: the fan-out of each node that has neighbours."""
    starts = one.indptr[nodes]
    degrees = one.indptr[nodes + 1] - starts
    places = np.flatnonzero(degrees).astype(np.int32)
    draws = rng.random((len(places), fan_out)) * degrees[places, None]
    edge_ids = starts[places, None] + draws.astype(np.int64)
    return edge_ids.ravel(), np.repeat(places, fan_out)


def _drawn(
    one: Adjacency, nodes: NDArray[np.int32], fan_out: int, rng: np.random.Generator
) -> Picked:
    """Without replacement: all edges of small rows, `fan_out` drawn ones of the others."""

    def draw(rows: NDArray[np.int64], degrees: NDArray[np.int64]) -> NDArray[np.int64]:
        return _distinct(degrees, fan_out, rng)

    return _capped(one, nodes, fan_out, draw)


def _capped(
    one: Adjacency,
    nodes: NDArray[np.int32],
    fan_out: int,
    choose: Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.int64]],
) -> Picked:
    """All edges of rows within the fan-out; of the others those that `choose` names.

    `choose` is given the places of the long rows and their degrees (R,) and returns, for each, the
    offsets (R, fan_out) of the edges in its row.
    """
    starts = one.indptr[nodes]
    degrees = one.indptr[nodes + 1] - starts
    counts = np.minimum(degrees, fan_out)
    edge_ids, places = _leading_edges(starts, counts)
    long = np.flatnonzero(degrees > fan_out)
    if fan_out and len(long):
        slots = (np.cumsum(counts)[long] - fan_out)[:, None] + np.arange(fan_out)
        edge_ids[slots] = starts[long, None] + choose(long, degrees[long])
    return edge_ids, places


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


def _least(one: Adjacency, nodes: NDArray[np.int32], fan_out: int, salt: np.uint64) -> Picked:
    """Of each long row the edges with the smallest hashes, least first."""
    starts, user_keys = one.indptr[nodes], one.user_keys

    def choose(rows: NDArray[np.int64], degrees: NDArray[np.int64]) -> NDArray[np.int64]:
        offsets = np.empty((len(rows), fan_out), dtype=np.int64)
        salted = mixed(user_keys[nodes[rows]] ^ salt)
        # Long rows are many edges: a part of the rows at a time keeps the memory bounded.
        cuts = np.flatnonzero(np.diff(np.cumsum(degrees) // _MAX_EDGES_AT_ONCE, prepend=0))
        for part in np.split(np.arange(len(rows)), cuts):
            edge_ids, places = _leading_edges(starts[rows[part]], degrees[part])
            hashes = mixed(salted[part][places] ^ user_keys[one.indices[edge_ids]])
            offsets[part] = _least_of_rows(hashes, places, degrees[part], fan_out)
        return offsets

    return _capped(one, nodes, fan_out, choose)


def _least_of_rows(
    hashes: NDArray[np.uint64], places: NDArray[np.int32], degrees: NDArray[np.int64], count: int
) -> NDArray[np.int64]:
    """Offsets (R, count) of the least hashes of each row; equal ones in the order of the row."""
    # Hashes are uniform, so the least `count` of a row nearly always lie below this bound; only
    # what does is sorted, and a row that is short of it is sorted whole.
    bounds = np.minimum((count + 4.0 * np.sqrt(count) + 8.0) / degrees, 1.0)
    below = hashes <= (bounds * _GREATEST_FLOAT).astype(np.uint64)[places]
    short = np.bincount(places[below], minlength=len(degrees)) < count
    if short.any():
        below |= short[places]
    candidates = np.flatnonzero(below)
    rows = places[candidates]
    order = np.lexsort((hashes[candidates], rows))
    first = np.searchsorted(rows[order], np.arange(len(degrees)))
    least = candidates[order[first[:, None] + np.arange(count)]]
    return np.asarray(least - (np.cumsum(degrees) - degrees)[:, None], dtype=np.int64)


# The greatest float64 below 2**64, so that the conversion to uint64 never overflows.
_GREATEST_FLOAT = float(np.nextafter(2.0**64, 0))
