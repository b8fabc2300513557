"""The training graph read from a live database.

Each batch queries the degrees, sampled neighbours and follows of its users. Memory is in proportion
to the batch, plus a few bytes a user, and independent of the number of edges. Commits during
training are visible to the next batch. Users that are not in the pinned snapshot are ignored. While
the database restarts, queries are retried.

Shapes: N users, Q pairs, R targets, E drawn edges.
"""

import threading
from collections.abc import Collection, Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from graphdb.adjacency import Adjacency
from graphdb.errors import ChangesTrimmed
from graphdb.folds import HELD_OUT_FOLDS
from graphdb.sampling.one_hop import ALL, lowest_hash_one_hop
from graphdb.snapshot.snapshot import Snapshot
from graphdb.store import Change, GraphStore, Relation
from training.errors import NothingToTrain
from training.sampling.config import Edges
from training.sampling.edge_proposals import FollowSlots
from training.sampling.negatives import NegativeFilter
from training.sampling.retries import retry
from training.sampling.source import Drawn, GraphVersions, Pairs

MAX_ROUNDS = 60
"""Rounds of proposals before NothingToTrain is raised."""

FOLDS_AT_ONCE = 1 << 22
TARGETS_AT_ONCE = 512


class DatabaseSource:
    """The live follows of a store, seen by the users of a pinned snapshot.

    Edges have the same distribution as in `SnapshotSource` for a snapshot of the same version. As
    long as nothing is committed, a draw is a function of its generator (on Neo4j, except mentions).
    """

    def __init__(
        self,
        snapshot: Snapshot,
        edges: Edges,
        store: GraphStore,
        *,
        without_folds: Collection[int] = HELD_OUT_FOLDS,
    ) -> None:
        """Raises NothingToTrain when the store is another graph than the snapshot's."""
        if store.graph_id != snapshot.graph_id:
            raise NothingToTrain(
                "the database of MMGA_GRAPH_URL holds another graph than the run's snapshot; "
                "name the database that the run began with"
            )
        self._snapshot, self._store, self._folds = snapshot, store, without_folds
        self._ids = snapshot.user_ids
        self.is_directed = edges.startswith("follows")
        follows: tuple[Relation, ...] = (
            ("followees", "followers") if self.is_directed else ("mutual",)
        )
        mentions: tuple[Relation, ...] = (
            ("mentions", "mentioned_by") if edges.endswith("+mentions") else ()
        )
        self._relations = (*follows, *mentions)
        self.num_follow_relations = len(follows)
        graph = snapshot.graph
        self._pinned = graph.followees if self.is_directed else graph.mutual
        self._slots = FollowSlots(self._pinned)
        self._has_followed = _degrees(graph.followees) + _degrees(graph.followers) > 0
        self._candidates = np.flatnonzero(self._has_followed)
        self._negative_filter = NegativeFilter(self, snapshot.user_ids, directed=self.is_directed)
        self._turn = threading.Lock()
        self._read_to = snapshot.version
        self._first: int | None = None

    @property
    def num_users(self) -> int:
        """Number of users N of the pinned snapshot."""
        return self._pinned.num_nodes

    @property
    def num_relations(self) -> int:
        """Number of relations."""
        return len(self._relations)

    @cached_property
    def num_edges(self) -> int:
        """Number of training edges of the pinned snapshot."""
        table = np.ones(256, dtype=np.bool_)
        table[list(self._folds)] = False
        total = 0
        for start in range(0, self._pinned.num_edges, FOLDS_AT_ONCE):
            part = slice(start, start + FOLDS_AT_ONCE)
            kept = table[self._pinned.folds[part]]
            if self._pinned.reverse_folds is not None:
                kept &= table[self._pinned.reverse_folds[part]]
            total += int(kept.sum())
        return total

    @property
    def versions(self) -> GraphVersions | None:
        """The first and the last version that a batch has begun with."""
        return (
            None
            if self._first is None
            else GraphVersions(first=self._first, last=max(self._first, self._read_to))
        )

    def close(self) -> None:
        """Release the store."""
        self._store.close()

    def catch_up(self) -> None:
        """Read the changes since the last call and add a slot for each new follow."""
        with self._turn:
            retry(self._read_changes)
            if self._first is None:
                self._first = self._read_to

    def _read_changes(self) -> None:
        """Apply each change once, also if the connection is lost between two changes."""
        for change in self._changes():
            live = [(a, b) for a, b, is_live in change.follows if is_live]
            followers, followees = (self._known([pair[end] for pair in live])[0] for end in (0, 1))
            ends = np.concatenate([followers, followees])
            self._slots.add(followers if self.is_directed else ends)
            new = np.unique(ends[~self._has_followed[ends]])
            self._has_followed[new] = True
            self._candidates = np.concatenate([self._candidates, new])
            self._read_to = change.version

    def _changes(self) -> Iterator[Change]:
        try:
            yield from self._store.changes(self._read_to)
        except ChangesTrimmed as error:
            raise NothingToTrain(
                f"the database no longer keeps the changes since version {self._read_to}; "
                "start a new run, which takes a new snapshot"
            ) from error

    def edges(self, count: int, rng: np.random.Generator) -> Pairs:
        """Up to `count` distinct training edges, uniform over all."""
        self.catch_up()
        count = min(count, self.num_edges)
        keys = np.empty(0, dtype=np.int64)
        for _ in range(MAX_ROUNDS):
            # If few edges are missing, most draws repeat known ones: draw more than are missing.
            u, v = self.random_edges(max(count - len(keys), count // 2), rng)
            keys = _distinct(np.concatenate([keys, u * self.num_users + v]))[:count]
            if len(keys) == count:
                break
        return keys // self.num_users, keys % self.num_users

    def random_edges(self, count: int, rng: np.random.Generator) -> Pairs:
        """Training edges with replacement, uniform over all.

        Raises NothingToTrain when the database has (almost) no training edge left.
        """
        parts: list[Pairs] = [(np.empty(0, np.int64), np.empty(0, np.int64))]
        missing = count
        for _ in range(MAX_ROUNDS):
            if missing <= 0:
                break
            u, v = self._accepted(2 * missing + 8, rng)
            parts.append((u[:missing], v[:missing]))
            missing -= len(u)
        if missing > 0:
            raise NothingToTrain(
                "the database has next to no follow left to train on; ingest follows first"
            )
        return np.concatenate([u for u, _ in parts]), np.concatenate([v for _, v in parts])

    def _accepted(self, count: int, rng: np.random.Generator) -> Pairs:
        """Draw this many proposals; return the accepted edges."""
        proposed, slots = self._slots.propose(count, rng)
        users, places = np.unique(proposed, return_inverse=True)
        degrees = retry(
            lambda: self._store.degrees(
                self._ids[users], self._relations[0], without_folds=self._folds
            )
        )
        kept = proposed[rng.random(count) * slots < degrees[places]]
        neighbours, rows = self.neighbours(0, kept, 1, rng)
        return kept[rows], neighbours

    def connected(self, count: int, rng: np.random.Generator) -> Pairs:
        """Distinct users that have a neighbour, and a random neighbour of each.

        Users whose sampled neighbour is not in the snapshot are skipped.
        """
        self.catch_up()
        relation: Relation = "either" if self.is_directed else "mutual"
        sources, partners = np.empty(0, np.int64), np.empty(0, np.int64)
        for some in in_random_order(self._candidates, 2 * count, rng):
            found, rows = self._drawn(relation, some, 1, rng)
            sources, partners = np.append(sources, some[rows]), np.append(partners, found)
            if len(sources) >= count:
                break
        return sources[:count], partners[:count]

    def allowed(self, u_Q: NDArray[np.int64], v_Q: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which pairs may be negatives."""
        return self._negative_filter.allowed(u_Q, v_Q)

    def contains(
        self, rows: NDArray[np.integer], columns: NDArray[np.integer]
    ) -> NDArray[np.bool_]:
        """Whether each pair (follower, followee) is a live follow, of any fold."""
        u, u_places = np.unique(rows, return_inverse=True)
        v, v_places = np.unique(columns, return_inverse=True)
        pairs = retry(lambda: self._store.follows_among(self._ids[u], self._ids[v]))
        found: NDArray[np.bool_] = np.isin(
            u_places * len(v) + v_places, pairs[:, 0] * len(v) + pairs[:, 1]
        )
        return found

    def neighbours(
        self, relation: int, targets_R: NDArray[np.int64], fan_out: int, rng: np.random.Generator
    ) -> Drawn:
        """Up to `fan_out` neighbours of each target, uniform without replacement."""
        return self._drawn(self._relations[relation], targets_R, fan_out, rng)

    def lowest_hash_neighbours(
        self, relation: int, targets_R: NDArray[np.int64], fan_out: int, salt: bytes
    ) -> Drawn:
        """The neighbours with the lowest hashes; all neighbours are read from the database."""
        rng = np.random.default_rng(0)
        drawn: list[Drawn] = [(np.empty(0, np.int64), np.empty(0, np.int64))]
        for start in range(0, len(targets_R), TARGETS_AT_ONCE):
            targets = targets_R[start : start + TARGETS_AT_ONCE]
            every = self._drawn(self._relations[relation], targets, ALL, rng)
            neighbours, places = self._lowest_hashes_of(every, targets, fan_out, salt)
            drawn.append((neighbours, places + start))
        return np.concatenate([each for each, _ in drawn]), np.concatenate([p for _, p in drawn])

    def _lowest_hashes_of(
        self, every: Drawn, targets: NDArray[np.int64], fan_out: int, salt: bytes
    ) -> Drawn:
        """The neighbours with the lowest hashes among all neighbours of these targets."""
        neighbours, places = every
        users, numbers = np.unique(np.concatenate([targets, neighbours]), return_inverse=True)
        own, others = numbers[: len(targets)], numbers[len(targets) :]
        ends = own[places]
        order = np.lexsort((others, ends))
        rows = Adjacency(
            indptr=np.concatenate(([0], np.cumsum(np.bincount(ends, minlength=len(users))))),
            indices=others[order].astype(np.int32),
            folds=np.empty(0, np.uint8),
            user_keys=self._pinned.user_keys[users],
        )
        hop = lowest_hash_one_hop(rows, own, fan_out, salt)
        return users[hop.neighbours], hop.targets.astype(np.int64)

    def _drawn(
        self,
        relation: Relation,
        targets: NDArray[np.int64],
        fan_out: int,
        rng: np.random.Generator,
    ) -> Drawn:
        seed = int(rng.integers(2**62))
        names = retry(
            lambda: self._store.sample(
                self._ids[targets], relation, fan_out, without_folds=self._folds, seed=seed
            )
        )
        users, known = self._known([name for row in names for name in row])
        return users, np.repeat(np.arange(len(names)), [len(row) for row in names])[known]

    def _known(self, user_ids: list[str]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Indices of the users that are in the snapshot, and a mask of them."""
        found = self._snapshot.index_of(user_ids)
        return found[found >= 0], found >= 0


def in_random_order(
    values: NDArray[np.int64], step: int, rng: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """Distinct values in random order, up to `step` at a time; cost is that of the values taken."""
    seen = np.empty(0, dtype=np.int64)
    while 4 * (len(seen) + step) < len(values):
        drawn = _distinct(np.concatenate([seen, rng.integers(0, len(values), step)]))
        yield values[drawn[len(seen) :]]
        seen = drawn
    rest = rng.permutation(np.setdiff1d(np.arange(len(values)), seen, assume_unique=True))
    for start in range(0, len(rest), max(step, 1)):
        yield values[rest[start : start + step]]


def _degrees(adjacency: Adjacency) -> NDArray[np.int64]:
    return np.diff(adjacency.indptr)


def _distinct(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """The keys without repeats, in the order of their first appearance."""
    _, first = np.unique(keys, return_index=True)
    return keys[np.sort(first)]
