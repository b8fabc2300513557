from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from graphdb import pair_counts as module
from graphdb.adjacency import SnapshotGraph, graph_of_follows
from graphdb.pair_counts import COUNT_NAMES, pair_counts

NUM_USERS = 8
Follows = set[tuple[int, int]]

user = st.integers(0, NUM_USERS - 1)
pairs = st.tuples(user, user).filter(lambda pair: pair[0] != pair[1])
follows = st.sets(pairs, max_size=40)


def graph_of(given_follows: Follows, num_users: int = NUM_USERS) -> SnapshotGraph:
    ends = np.array(sorted(given_follows), dtype=np.int64).reshape(-1, 2)
    return graph_of_follows(num_users, ends[:, 0], ends[:, 1], np.zeros(len(ends), dtype=np.uint8))


def all_pairs() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    ends = np.array([(u, v) for u in range(NUM_USERS) for v in range(NUM_USERS) if u != v])
    return ends[:, 0], ends[:, 1]


def counted_by_sets(given_follows: Follows, u: int, v: int) -> dict[str, float]:
    """The definitions, read off a graph from which u -> v is taken out."""
    rest = given_follows - {(u, v)}
    followees = [{b for a, b in rest if a == w} for w in range(NUM_USERS)]
    followers = [{a for a, b in rest if b == w} for w in range(NUM_USERS)]
    beside = [followees[w] | followers[w] for w in range(NUM_USERS)]
    common = beside[u] & beside[v]
    either = (beside[u] - {v}) | (beside[v] - {u})
    return {
        "two_paths": len(followees[u] & followers[v]),
        "reverse_two_paths": len(followees[v] & followers[u]),
        "common_followees": len(followees[u] & followees[v]),
        "common_followers": len(followers[u] & followers[v]),
        "common_neighbours": len(common),
        "adamic_adar": sum(1 / log(len(beside[w])) for w in common),
        "jaccard": len(common) / max(len(either), 1),
        "reciprocity": float((v, u) in rest),
        "followees_of_follower": len(followees[u]),
        "followers_of_follower": len(followers[u]),
        "followees_of_followee": len(followees[v]),
        "followers_of_followee": len(followers[v]),
        "preferential_attachment": len(followees[u]) * len(followers[v]),
    }


@given(follows)
def test_counts_are_those_of_their_definitions(given_follows: Follows) -> None:
    u, v = all_pairs()
    matrix = pair_counts(graph_of(given_follows), u, v)
    assert matrix.dtype == np.float32
    for row, follower, followee in zip(matrix, u.tolist(), v.tolist(), strict=True):
        expected = counted_by_sets(given_follows, follower, followee)
        assert dict(zip(COUNT_NAMES, row.tolist(), strict=True)) == pytest.approx(expected)


@given(follows, pairs)
def test_a_pair_s_own_edge_changes_none_of_its_counts(
    given_follows: Follows, pair: tuple[int, int]
) -> None:
    u, v = np.array([pair[0]]), np.array([pair[1]])
    with_edge = pair_counts(graph_of(given_follows | {pair}), u, v)
    without_edge = pair_counts(graph_of(given_follows - {pair}), u, v)
    assert with_edge.tobytes() == without_edge.tobytes()


@given(follows)
def test_counts_do_not_depend_on_what_is_asked_together(given_follows: Follows) -> None:
    graph = graph_of(given_follows)
    u, v = all_pairs()
    together = pair_counts(graph, u, v)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_MAX_MARKS", 2 * NUM_USERS)
        patch.setattr(module, "_MAX_EDGES_AT_ONCE", 5)
        shuffled = np.random.default_rng(0).permutation(len(u))
        in_parts = pair_counts(graph, u[shuffled], v[shuffled])
    assert in_parts.tobytes() == together[shuffled].tobytes()


def test_no_pairs_and_no_follows_are_no_trouble() -> None:
    none = np.empty(0, dtype=np.int64)
    assert pair_counts(graph_of({(0, 1)}), none, none).shape == (0, len(COUNT_NAMES))
    assert not pair_counts(graph_of(set()), *all_pairs()).any()


def test_a_removed_fold_leaves_no_trace_in_the_counts() -> None:
    rng = np.random.default_rng(1)
    drawn = {(int(u), int(v)) for u, v in rng.integers(0, NUM_USERS, (60, 2)) if u != v}
    ends = np.array(sorted(drawn))
    folds = rng.integers(0, 3, len(ends)).astype(np.uint8)
    graph = graph_of_follows(NUM_USERS, ends[:, 0], ends[:, 1], folds)
    kept = {(int(u), int(v)) for u, v in ends[folds != 0]}
    u, v = all_pairs()
    counts, expected = (
        pair_counts(each, u, v) for each in (graph.without_folds([0]), graph_of(kept))
    )
    assert counts.tobytes() == expected.tobytes()
