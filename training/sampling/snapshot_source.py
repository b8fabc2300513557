"""The training graph of a pinned snapshot, in compressed sparse rows.

Shapes: N users, Q pairs, R targets, E drawn edges.
"""

from collections.abc import Collection
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from graphdb.adjacency import Adjacency, SnapshotGraph, rows_of_pairs
from graphdb.folds import HELD_OUT_FOLDS
from graphdb.sampling.one_hop import lowest_hash_one_hop, sample_one_hop
from graphdb.snapshot.snapshot import Snapshot
from training.sampling.config import Edges
from training.sampling.negatives import NegativeFilter
from training.sampling.source import Drawn, Pairs


class SnapshotSource:
    """The follows of a snapshot, in compressed sparse rows."""

    versions = None

    def __init__(
        self,
        snapshot: Snapshot,
        edges: Edges,
        *,
        without_folds: Collection[int] = HELD_OUT_FOLDS,
    ) -> None:
        """Leave out the follows of these folds: the held-out folds, or none for publishing."""
        whole = snapshot.graph
        self.graph = whole.without_folds(without_folds) if len(without_folds) else whole
        self.is_directed = edges.startswith("follows")
        self.follows = follow_relations(self.graph, directed=self.is_directed)
        mentions = mention_relations(snapshot) if edges.endswith("+mentions") else ()
        self.relations = (*self.follows, *mentions)
        self.negative_filter = NegativeFilter(
            whole.followees, snapshot.user_ids, directed=self.is_directed
        )

    @property
    def num_users(self) -> int:
        """Number of users N."""
        return self.graph.num_nodes

    @property
    def num_edges(self) -> int:
        """Number of training edges."""
        return self.follows[0].num_edges

    @property
    def num_follow_relations(self) -> int:
        """The relations that are follows; those after them are mentions."""
        return len(self.follows)

    @property
    def num_relations(self) -> int:
        """Number of relations."""
        return len(self.relations)

    def close(self) -> None:
        """Does nothing: files stay mapped while they are used."""

    def edges(self, count: int, rng: np.random.Generator) -> Pairs:
        """Up to `count` distinct training edges, uniform over all."""
        return ends_of(self.follows[0], choose_below(self.num_edges, count, rng))

    def random_edges(self, count: int, rng: np.random.Generator) -> Pairs:
        """Training edges with replacement."""
        return ends_of(self.follows[0], rng.integers(0, self.num_edges, count))

    def connected(self, count: int, rng: np.random.Generator) -> Pairs:
        """Distinct users that have a neighbour, and a random neighbour of each."""
        sources = self._with_neighbours[choose_below(len(self._with_neighbours), count, rng)]
        degrees = [each.indptr[sources + 1] - each.indptr[sources] for each in self.follows]
        picks = (rng.random(len(sources)) * np.sum(degrees, axis=0)).astype(np.int64)
        partners = np.empty_like(sources)
        for adjacency, own in zip(self.follows, degrees, strict=True):
            here = (picks >= 0) & (picks < own)
            partners[here] = adjacency.indices[adjacency.indptr[sources[here]] + picks[here]]
            picks = np.where(here, -1, picks - own)
        return sources, partners

    @cached_property
    def _with_neighbours(self) -> NDArray[np.int64]:
        return np.flatnonzero(np.sum([each.degrees() for each in self.follows], axis=0))

    def allowed(self, u_Q: NDArray[np.int64], v_Q: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which pairs may be negatives."""
        return self.negative_filter.allowed(u_Q, v_Q)

    def neighbours(
        self, relation: int, targets_R: NDArray[np.int64], fan_out: int, rng: np.random.Generator
    ) -> Drawn:
        """Up to `fan_out` neighbours of each target, uniform without replacement."""
        hop = sample_one_hop(self.relations[relation], targets_R, fan_out, rng)
        return hop.neighbours.astype(np.int64), hop.targets.astype(np.int64)

    def lowest_hash_neighbours(
        self, relation: int, targets_R: NDArray[np.int64], fan_out: int, salt: bytes
    ) -> Drawn:
        """The neighbours with the lowest hashes."""
        hop = lowest_hash_one_hop(self.relations[relation], targets_R, fan_out, salt)
        return hop.neighbours.astype(np.int64), hop.targets.astype(np.int64)


def follow_relations(graph: SnapshotGraph, *, directed: bool) -> tuple[Adjacency, ...]:
    """Relations of follows: mutual follows, or followees and followers."""
    return (graph.followees, graph.followers) if directed else (graph.mutual,)


def mention_relations(snapshot: Snapshot) -> tuple[Adjacency, Adjacency]:
    """Relations of mentions: mentioned users and mentioning users, without self-loops.

    Mentions have no folds: a mention does not imply a follow, so mentions between the users of a
    held-out pair stay.
    """
    author, mentioned = np.asarray(snapshot.mentions, dtype=np.int64).reshape(-1, 2).T
    others = author != mentioned
    author, mentioned = author[others], mentioned[others]
    keys = snapshot.graph.followees.user_keys
    return (
        rows_of_pairs(len(keys), author, mentioned, keys),
        rows_of_pairs(len(keys), mentioned, author, keys),
    )


def ends_of(edges: Adjacency, numbers: NDArray[np.int64]) -> Pairs:
    """Row and neighbour of edges given by number."""
    rows = np.searchsorted(edges.indptr, numbers, side="right") - 1
    return rows.astype(np.int64), edges.indices[numbers].astype(np.int64)


def choose_below(total: int, limit: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Up to `limit` distinct numbers below `total`, in random order."""
    if limit * 4 < total:  # no permutation of a long array for a short draw
        return rng.permutation(np.unique(rng.integers(0, total, 2 * limit)))[:limit]
    return rng.permutation(total)[:limit]
