"""The source of training edges and neighbours: a pinned snapshot or a live database.

Users are indices of the pinned snapshot. Relations are numbered: 0 mutual follows, or 0 followees
and 1 followers; after these, with mentions, the mentioned users, then the mentioning users.

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
    """Training edges (without held-out follows), neighbours over them, and valid negatives."""

    @property
    def num_users(self) -> int:
        """Number of users N."""

    @property
    def num_edges(self) -> int:
        """Number of training edges, of the pinned snapshot."""

    @property
    def is_directed(self) -> bool:
        """Whether edges are directed follows; else they are mutual follows, in both directions."""

    @property
    def num_follow_relations(self) -> int:
        """The relations that are follows; those after them are mentions."""

    @property
    def num_relations(self) -> int:
        """Number of relations."""

    @property
    def versions(self) -> GraphVersions | None:
        """The versions that were read of a live graph; None for a snapshot."""

    def close(self) -> None:
        """Close files and connections."""

    def edges(self, count: int, rng: np.random.Generator) -> Pairs:
        """Up to `count` distinct training edges, uniform over all."""

    def random_edges(self, count: int, rng: np.random.Generator) -> Pairs:
        """Training edges with replacement; each end is drawn in proportion to degree."""

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
        """The `fan_out` neighbours of each target with the lowest hash(salt, user, neighbour)."""
