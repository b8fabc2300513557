"""Counts of the structure round a pair of users: what a link head and a heuristic go by.

All counts of a directed pair (u, v), "does u follow v", are the same whether or not u -> v is in
the graph, so they may be computed of edges that are there as of ones that are not.

Shapes: B pairs, N users, C counts.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from graphdb.adjacency import Adjacency, SnapshotGraph

COUNT_NAMES: tuple[str, ...] = (
    "two_paths",  # w with u -> w -> v
    "reverse_two_paths",  # w with v -> w -> u
    "common_followees",  # w with u -> w <- v (co-follow)
    "common_followers",  # w with u <- w -> v
    "common_neighbours",  # w next to both, whatever the directions
    "adamic_adar",  # the same, each w by 1 / log(its neighbours)
    "jaccard",  # common neighbours over the neighbours of either
    "reciprocity",  # 1 when v -> u
    "followees_of_follower",  # u follows that many, v apart
    "followers_of_follower",
    "followees_of_followee",
    "followers_of_followee",  # v is followed by that many, u apart
    "preferential_attachment",  # followees of u times followers of v
)

_COMMON_NAMES = COUNT_NAMES[:6]

# Marks of a user as seen from the followee of a pair.
_IS_FOLLOWER, _IS_FOLLOWEE = np.uint8(1), np.uint8(2)

# Bounds of what is held at once: marks (a byte each) and edges.
_MAX_MARKS = 1 << 24
_MAX_EDGES_AT_ONCE = 1 << 21


def pair_counts(
    graph: SnapshotGraph, followers: NDArray[np.integer], followees: NDArray[np.integer]
) -> NDArray[np.float32]:
    """Counts (B, C) of the pairs (follower, followee), columns as in `COUNT_NAMES`.

    The cost is that of reading the neighbours of each pair's follower, and once those of each
    distinct followee; it does not depend on the size of the graph.
    """
    u, v = np.asarray(followers, dtype=np.int64), np.asarray(followees, dtype=np.int64)
    common = np.zeros((len(u), len(_COMMON_NAMES)))
    for pairs in _blocks(graph, u, v):
        common[pairs] = _common(graph, u[pairs], v[pairs])
    counts = dict(zip(_COMMON_NAMES, common.T, strict=True)) | _degree_counts(graph, u, v)
    shared = counts["common_neighbours"]
    either = _other_neighbours(graph, u, v) + _other_neighbours(graph, v, u) - shared
    counts["jaccard"] = shared / np.maximum(either, 1)
    matrix = np.empty((len(u), len(COUNT_NAMES)), dtype=np.float32)
    for column, name in enumerate(COUNT_NAMES):
        matrix[:, column] = counts[name]
    return matrix


def _degree_counts(
    graph: SnapshotGraph, u: NDArray[np.int64], v: NDArray[np.int64]
) -> dict[str, NDArray[np.float64]]:
    own = graph.followees.contains(u, v)
    followees_of_u = (_sizes(graph.followees, u) - own).astype(np.float64)
    followers_of_v = (_sizes(graph.followers, v) - own).astype(np.float64)
    return {
        "reciprocity": graph.followees.contains(v, u).astype(np.float64),
        "followees_of_follower": followees_of_u,
        "followers_of_follower": _sizes(graph.followers, u).astype(np.float64),
        "followees_of_followee": _sizes(graph.followees, v).astype(np.float64),
        "followers_of_followee": followers_of_v,
        "preferential_attachment": followees_of_u * followers_of_v,
    }


def _sizes(adjacency: Adjacency, nodes: NDArray[np.integer]) -> NDArray[np.int64]:
    sizes: NDArray[np.int64] = adjacency.indptr[nodes + 1] - adjacency.indptr[nodes]
    return sizes


def _num_neighbours(graph: SnapshotGraph, nodes: NDArray[np.integer]) -> NDArray[np.int64]:
    """How many follow each node or are followed by it."""
    directed = _sizes(graph.followees, nodes) + _sizes(graph.followers, nodes)
    return directed - _sizes(graph.mutual, nodes)


def _other_neighbours(
    graph: SnapshotGraph, nodes: NDArray[np.int64], others: NDArray[np.int64]
) -> NDArray[np.int64]:
    """How many neighbours each node has apart from the other end of its pair."""
    linked = graph.followees.contains(nodes, others) | graph.followers.contains(nodes, others)
    return _num_neighbours(graph, nodes) - linked


def _blocks(
    graph: SnapshotGraph, u: NDArray[np.int64], v: NDArray[np.int64]
) -> Iterator[NDArray[np.int64]]:
    """Positions of pairs, those of one followee together, in blocks within both bounds."""
    order = np.argsort(v, kind="stable")
    groups = np.cumsum(np.diff(v[order], prepend=v[order[:1]]) != 0)
    views = (graph.followees, graph.followers, graph.mutual)
    edges = np.cumsum(sum(_sizes(adjacency, u[order]) for adjacency in views))
    max_groups = max(1, _MAX_MARKS // max(graph.num_nodes, 1))
    start = 0
    while start < len(order):
        read = edges[start - 1] if start else 0
        by_groups = np.searchsorted(groups, groups[start] + max_groups)
        by_edges = np.searchsorted(edges, read + _MAX_EDGES_AT_ONCE, side="right")
        stop = max(start + 1, int(min(by_groups, by_edges)))
        yield order[start:stop]
        start = stop


def _common(
    graph: SnapshotGraph, u: NDArray[np.int64], v: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The counts (B, 6) of users between the two ends, in the order of `COUNT_NAMES`.

    The followers and followees of each v are marked; then a user next to u is counted by its mark.
    Neither end is ever counted: no user follows itself.
    """
    marks, positions = _marks(graph, v)

    def met(adjacency: Adjacency) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.uint8]]:
        """Users next to u that are marked from v: the user, the pair, the mark."""
        users, pairs = _expanded(adjacency, u)
        seen = marks[positions[pairs], users]
        hits = np.flatnonzero(seen)
        return users[hits], pairs[hits], seen[hits]

    def number(pairs: NDArray[np.int64], chosen: NDArray[np.uint8]) -> NDArray[np.float64]:
        return np.bincount(pairs[chosen > 0], minlength=len(u)).astype(np.float64)

    def weight(users: NDArray[np.int32], pairs: NDArray[np.int64]) -> NDArray[np.float64]:
        weights = np.bincount(pairs, weights=_rarity(graph, users), minlength=len(u))
        return weights.astype(np.float64)

    out, into, both = met(graph.followees), met(graph.followers), met(graph.mutual)
    num_out, num_into, num_both = (number(pairs, seen) for _, pairs, seen in (out, into, both))
    rare_out, rare_into, rare_both = (weight(users, pairs) for users, pairs, _ in (out, into, both))
    columns = (
        number(out[1], out[2] & _IS_FOLLOWER),
        number(into[1], into[2] & _IS_FOLLOWEE),
        number(out[1], out[2] & _IS_FOLLOWEE),
        number(into[1], into[2] & _IS_FOLLOWER),
        # Those who follow u and are followed by u were met twice.
        num_out + num_into - num_both,
        rare_out + rare_into - rare_both,
    )
    return np.stack(columns, axis=1)


def _marks(
    graph: SnapshotGraph, v: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Marks (distinct followees, N), and the row of each pair."""
    distinct, positions = np.unique(v, return_inverse=True)
    marks = np.zeros((len(distinct), graph.num_nodes), dtype=np.uint8)
    users, rows = _expanded(graph.followers, distinct)
    marks[rows, users] = _IS_FOLLOWER
    users, rows = _expanded(graph.followees, distinct)
    marks[rows, users] |= _IS_FOLLOWEE
    return marks, positions


def _expanded(
    adjacency: Adjacency, nodes: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """All neighbours of these nodes, and for each the position of its node."""
    sizes = _sizes(adjacency, nodes)
    positions = np.repeat(np.arange(len(nodes)), sizes)
    edges = np.repeat(adjacency.indptr[nodes + 1] - np.cumsum(sizes), sizes)
    edges += np.arange(len(edges))
    return adjacency.indices[edges], positions


def _rarity(graph: SnapshotGraph, users: NDArray[np.int32]) -> NDArray[np.float64]:
    """Adamic and Adar's weight; a user between two others has at least two neighbours."""
    return np.asarray(1.0 / np.log(np.maximum(_num_neighbours(graph, users), 2)))
