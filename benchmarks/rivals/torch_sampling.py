"""Neighbour sampling with torch operations, as one vectorises it where pyg-lib is missing.

With replacement, because that is what is easy to vectorise; nodes are renumbered by sorting.
"""

import torch

Sampled = tuple[torch.Tensor, torch.Tensor, torch.Tensor, list[int]]


def sample(
    indptr: torch.Tensor, indices: torch.Tensor, seeds: torch.Tensor, fan_outs: tuple[int, ...]
) -> Sampled:
    """Nodes (ascending), rows and columns of the edges, and the number of edges of each hop."""
    frontier, seen = seeds, seeds
    neighbours: list[torch.Tensor] = []
    users: list[torch.Tensor] = []
    for fan_out in fan_outs:
        start = indptr[frontier]
        degree = indptr[frontier + 1] - start
        frontier, start, degree = (each[degree > 0] for each in (frontier, start, degree))
        offset = (torch.rand(len(frontier), fan_out) * degree[:, None]).long()
        drawn = indices[(start[:, None] + offset).view(-1)].long()
        neighbours.append(drawn)
        users.append(frontier.repeat_interleave(fan_out))
        reached = torch.unique(drawn)
        frontier = reached[~torch.isin(reached, seen)]
        seen = torch.cat([seen, frontier])
    nodes = seen.sort().values
    rows = torch.searchsorted(nodes, torch.cat(neighbours))
    cols = torch.searchsorted(nodes, torch.cat(users))
    return nodes, rows, cols, [len(each) for each in neighbours]
