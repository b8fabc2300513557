"""Samples neighbourhoods of several hops: a few neighbours of each node, then of these.

The hops are those of `one_hop`; here their nodes are numbered in the order of their appearance.

Shapes: N nodes of the graph, N_s nodes and E_s edges sampled.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from graphdb.adjacency import Adjacency
from graphdb.sampling.one_hop import SampledHop, check, lowest_hash_one_hop, sample_one_hop

ScalarT = TypeVar("ScalarT", bound=np.generic)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SampledSubgraph:
    """A sampled subgraph, in the order of the hops; messages flow from `rows` to `cols`.

    `nodes` begins with the seeds as given; all others occur once. `rows` (the neighbour) and
    `cols` (the node that it is a neighbour of) are positions in `nodes`. `edge_ids` are positions
    in the arrays of the adjacency (a database has none); `relations` are the numbers of
    the adjacencies, where several were given.
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


Hop = Callable[[Adjacency, NDArray[np.int32], int], SampledHop]
"""(adjacency, nodes to expand, fan-out) -> the edges sampled of them."""


def sample_neighbours(
    adjacency: Adjacency | Sequence[Adjacency],
    seeds: NDArray[np.integer],
    fan_outs: Sequence[int],
    rng: np.random.Generator,
    *,
    replace: bool = False,
) -> SampledSubgraph:
    """Sample up to `fan_outs[h]` neighbours of each node that hop h - 1 added (hop 0: the seeds).

    Each hop is one of `sample_one_hop`. Several adjacencies over the same nodes are sampled side by
    side, the fan-out for each. A seed given twice is sampled twice. The result is a function of the
    arguments and the state of `rng`.
    """
    return _grow(
        adjacency,
        seeds,
        fan_outs,
        lambda one, nodes, fan_out: sample_one_hop(one, nodes, fan_out, rng, replace=replace),
    )


def lowest_hash_neighbours(
    adjacency: Adjacency | Sequence[Adjacency],
    seeds: NDArray[np.integer],
    fan_outs: Sequence[int],
    salt: bytes,
) -> SampledSubgraph:
    """Like `sample_neighbours`, but each hop is one of `lowest_hash_one_hop`."""
    return _grow(
        adjacency,
        seeds,
        fan_outs,
        lambda one, nodes, fan_out: lowest_hash_one_hop(one, nodes, fan_out, salt),
    )


def _grow(
    adjacency: Adjacency | Sequence[Adjacency],
    seeds: NDArray[np.integer],
    fan_outs: Sequence[int],
    sample: Hop,
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
            hop = sample(one, frontier, fan_out)
            rows = numbering.number(hop.neighbours)
            edges.append((rows, hop.targets + np.int32(start), hop.edge_ids))
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
    check(min(num_nodes), seeds, fan_outs)


class Numbering:
    """Numbers nodes in the order of their first appearance, without sorting or hashing.

    A sparse set: `_number_of[node]` is valid only if `nodes` holds the node at that number, so the
    array of N numbers need not be initialised.
    """

    def __init__(self, num_nodes: int, seeds: NDArray[np.int32]) -> None:
        self._number_of = np.empty(num_nodes, dtype=np.uint32)
        self._number_of[seeds] = np.arange(len(seeds), dtype=np.uint32)
        self.nodes = seeds

    def number(self, nodes: NDArray[np.int32]) -> NDArray[np.int32]:
        """The numbers of these nodes; new nodes are appended."""
        new = nodes[~self._is_known(nodes)]
        count = len(self.nodes)
        guess = np.arange(count, count + len(new), dtype=np.uint32)
        # Of several writes to one slot the last one stays: written backwards, the first one.
        self._number_of[new[::-1]] = guess[::-1]
        first = new[self._number_of[new] == guess]
        self._number_of[first] = guess[: len(first)]
        self.nodes = np.concatenate((self.nodes, first))
        return self._number_of[nodes].view(np.int32)

    def _is_known(self, nodes: NDArray[np.int32]) -> NDArray[np.bool_]:
        last = np.uint32(max(len(self.nodes) - 1, 0))
        number = np.minimum(self._number_of[nodes], last)
        known: NDArray[np.bool_] = self.nodes[number] == nodes
        return known
