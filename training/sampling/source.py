"""Where batches and inference read the graph: the pinned snapshot, or a database that goes on.

A user is an index of the pinned snapshot everywhere. Relations are numbered: 0 is mutual follows,
or 0 those whom a user follows and 1 those who follow the user; after these, with mentions, those
whom the user mentions and those who mention the user.

Shapes: N users, Q pairs, R targets, E drawn edges.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Users u (Q,) and v (Q,)."""

Drawn = tuple[NDArray[np.int64], NDArray[np.int64]]
"""(neighbours as users, positions of their targets) by edge (E,)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphVersions:
    """The first and the last version of the graph that was read."""

    first: int
    last: int


class GraphSource(Protocol):
    """The training edges (no held-out follow), neighbours over them, and who is a negative."""

    @property
    def num_users(self) -> int:
        """Number of users N."""

    @property
    def num_edges(self) -> int:
        """Number of training edges, of the pinned snapshot."""

    @property
    def is_directed(self) -> bool:
        """Whether an edge is a follow; else it is a mutual follow, seen from either end."""

    @property
    def num_follow_relations(self) -> int:
        """The relations that are follows; those after them are mentions."""

    @property
    def num_relations(self) -> int:
        """Number of relations."""

    @property
    def versions(self) -> GraphVersions | None:
        """What was read of a graph that changes; None where nothing changes."""

    def close(self) -> None:
        """Release what it holds open."""

    def edges(self, count: int, rng: np.random.Generator) -> Pairs:
        """Up to `count` distinct training edges, uniform over all."""

    def random_edges(self, count: int, rng: np.random.Generator) -> Pairs:
        """Training edges with replacement: either end is a user drawn by degree."""

    def connected(self, count: int, rng: np.random.Generator) -> Pairs:
        """Up to `count` distinct users that have a training neighbour, and a random one of each.

        A neighbour is one of any relation of follows.
        """

    def allowed(self, u_Q: NDArray[np.int64], v_Q: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which pairs may be negatives (see `NegativeFilter`)."""

    def neighbours(
        self, relation: int, targets_R: NDArray[np.int64], fan_out: int, rng: np.random.Generator
    ) -> Drawn:
        """Up to `fan_out` neighbours of each target, uniform without replacement."""

    def lowest_hash_neighbours(
        self, relation: int, targets_R: NDArray[np.int64], fan_out: int, salt: bytes
    ) -> Drawn:
        """The `fan_out` neighbours of each target with the least hash(salt, user, neighbour)."""
