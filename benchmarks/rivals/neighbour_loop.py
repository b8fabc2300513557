"""Neighbour sampling by a loop over nodes, as one writes it in Python where pyg-lib is missing."""

import numpy as np
from numpy.typing import NDArray

Sampled = tuple[list[int], list[int], list[int], list[int]]


def sample(
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    seeds: NDArray[np.int64],
    fan_outs: tuple[int, ...],
    rng: np.random.Generator,
) -> Sampled:
    """Nodes (seeds first), rows and columns of the edges, and the number of edges of each hop."""
    nodes = [int(seed) for seed in seeds]
    number = {node: position for position, node in enumerate(nodes)}
    rows: list[int] = []
    cols: list[int] = []
    edges_per_hop: list[int] = []
    start = 0
    for fan_out in fan_outs:
        stop, before = len(nodes), len(rows)
        for position in range(start, stop):
            node = nodes[position]
            neighbours = indices[indptr[node] : indptr[node + 1]]
            if len(neighbours) > fan_out:
                neighbours = rng.choice(neighbours, fan_out, replace=False)
            for neighbour in neighbours.tolist():
                if neighbour not in number:
                    number[neighbour] = len(nodes)
                    nodes.append(neighbour)
                rows.append(number[neighbour])
                cols.append(position)
        edges_per_hop.append(len(rows) - before)
        start = stop
    return nodes, rows, cols, edges_per_hop
