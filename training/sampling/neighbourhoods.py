"""Sampled neighbourhoods, as edges of each layer of the graph encoder.

Shapes: N users, n nodes of a subgraph, E edges of a relation, B seeds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.sampling.source import Drawn, GraphSource

Draw = Callable[[GraphSource, int, NDArray[np.int64], int], Drawn]
"""(source, relation, distinct targets, fan-out) -> neighbours as users, positions of targets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerEdges:
    """Edges of one layer, for each relation: local neighbours (E,) and local targets (E,)."""

    num_targets: int
    neighbours: Sequence[NDArray[np.int64]]
    targets: Sequence[NDArray[np.int64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbourhood:
    """Users (n,) of a subgraph, seeds first, and its layers from the outermost hop inwards."""

    users: NDArray[np.int64]
    num_seeds: int
    layers: Sequence[LayerEdges]


def neighbourhood(
    source: GraphSource,
    seeds_B: NDArray[np.int64],
    fan_outs: Sequence[int],
    draw: Draw,
    *,
    hidden_pairs: NDArray[np.int64] | None = None,
) -> Neighbourhood:
    """Expand distinct seeds hop by hop, each hop with its own fan-out.

    Each layer samples for all of its targets, including those of inner hops, so that a user's
    vector does not depend on the other users of the batch. Follows whose `pair_keys` are in
    `hidden_pairs` (ascending) carry no message in either direction; mentions between the two users
    do, as in evaluation. Time is in proportion to the sampled edges. Tables of a few bytes a user
    of the graph replace sorting, which would dominate.
    """
    users = np.asarray(seeds_B, dtype=np.int64)
    hidden = None if hidden_pairs is None else HiddenPairs(hidden_pairs, source.num_users)
    layers: list[LayerEdges] = []
    for fan_out in fan_outs:
        num_targets = len(users)
        drawn = [draw(source, number, users, fan_out) for number in range(source.num_relations)]
        if hidden is not None:
            for number in range(source.num_follow_relations):
                drawn[number] = hidden.removed_from(drawn[number], users)
        new = newcomers(users, [edges[0] for edges in drawn], source.num_users)
        users = np.concatenate([users, new])
        position_of = positions(users, source.num_users)
        layers.append(
            LayerEdges(
                num_targets=num_targets,
                neighbours=[position_of(neighbours) for neighbours, _ in drawn],
                targets=[targets for _, targets in drawn],
            )
        )
    return Neighbourhood(users=users, num_seeds=len(seeds_B), layers=layers[::-1])


def random_draw(rng: np.random.Generator) -> Draw:
    """Neighbours at random without replacement, for training."""
    return lambda source, relation, targets, fan_out: source.neighbours(
        relation, targets, fan_out, rng
    )


def fixed_draw(salt: bytes) -> Draw:
    """The neighbours with the lowest hash(salt, user, neighbour), for inference."""
    return lambda source, relation, targets, fan_out: source.lowest_hash_neighbours(
        relation, targets, fan_out, salt
    )


def pair_keys(u: NDArray[np.integer], v: NDArray[np.integer], num_users: int) -> NDArray[np.int64]:
    """One number for each unordered pair of users."""
    low, high = np.minimum(u, v).astype(np.int64), np.maximum(u, v).astype(np.int64)
    return low * num_users + high


class HiddenPairs:
    """Pairs whose edges carry no message, as ascending pair keys."""

    def __init__(self, keys: NDArray[np.int64], num_users: int) -> None:
        self.keys, self.num_users = keys, num_users
        self.is_end_N = np.zeros(num_users, np.bool_)
        for ends in np.divmod(keys, num_users):
            self.is_end_N[ends] = True

    def removed_from(self, edges: Drawn, users: NDArray[np.int64]) -> Drawn:
        """The sampled edges without those of hidden pairs; targets are positions in `users`."""
        neighbours, targets = edges
        near = np.flatnonzero(self.is_end_N[neighbours] & self.is_end_N[users][targets])
        keys = pair_keys(neighbours[near], users[targets[near]], self.num_users)
        kept = np.ones(len(neighbours), np.bool_)
        kept[near] = ~np.isin(keys, self.keys)
        return neighbours[kept], targets[kept]


def newcomers(
    users: NDArray[np.int64], drawn: Sequence[NDArray[np.int64]], num_users: int
) -> NDArray[np.int64]:
    """Sampled users that are not in `users` yet, ascending."""
    is_new_N = np.zeros(num_users, np.bool_)
    for each in drawn:
        is_new_N[each] = True
    is_new_N[users] = False
    return np.flatnonzero(is_new_N)


def positions(
    users: NDArray[np.int64], num_users: int
) -> Callable[[NDArray[np.int64]], NDArray[np.int64]]:
    """A function from users to their positions among these distinct users."""
    position_N = np.empty(num_users, np.int32)  # only the entries of these users are read
    position_N[users] = np.arange(len(users), dtype=np.int32)
    return lambda wanted: position_N[wanted].astype(np.int64)
