from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from graphdb.adjacency import Adjacency, graph_of_follows
from graphdb.sampling import one_hop
from graphdb.sampling.neighbours import (
    SampledSubgraph,
    lowest_hash_neighbours,
    sample_neighbours,
)
from graphdb.sampling.one_hop import ALL, SampledHop, lowest_hash_one_hop, sample_one_hop
from graphdb.snapshot.id_column import id_keys

Edges = set[tuple[int, int]]


def adjacency_of(edges: Edges, num_nodes: int) -> Adjacency:
    """Row u: every v with an edge (u, v)."""
    ends = np.array(sorted(edges), dtype=np.int64).reshape(-1, 2)
    folds = np.zeros(len(ends), dtype=np.uint8)
    return graph_of_follows(num_nodes, ends[:, 0], ends[:, 1], folds).followees


@st.composite
def graphs(draw: st.DrawFn) -> Adjacency:
    num_nodes = draw(st.integers(1, 12))
    node = st.integers(0, num_nodes - 1)
    return adjacency_of(draw(st.sets(st.tuples(node, node), max_size=60)), num_nodes)


@st.composite
def graphs_and_seeds(draw: st.DrawFn) -> tuple[Adjacency, NDArray[np.int64]]:
    adjacency = draw(graphs())
    node = st.integers(0, adjacency.num_nodes - 1)
    return adjacency, np.array(draw(st.lists(node, max_size=5)), dtype=np.int64)


def hops(sampled: SampledSubgraph) -> list[tuple[list[int], list[int]]]:
    """The positions of the nodes expanded by each hop, and the edges that it sampled."""
    node_ends = np.cumsum(sampled.nodes_per_hop).tolist()
    edge_ends = np.cumsum(sampled.edges_per_hop, dtype=int).tolist()
    return [
        (list(range(node_start, node_end)), list(range(edge_start, edge_end)))
        for node_start, node_end, edge_start, edge_end in zip(
            [0, *node_ends], node_ends, [0, *edge_ends], edge_ends, strict=False
        )
    ]


def assert_sound(
    sampled: SampledSubgraph,
    adjacency: Adjacency,
    seeds: Sequence[int],
    fan_outs: Sequence[int],
    *,
    replace: bool = False,
) -> None:
    """Every promise of a sample that does not depend on chance."""
    nodes = sampled.nodes.tolist()
    assert nodes[: len(seeds)] == list(seeds)
    later = nodes[len(seeds) :]
    assert len(set(later)) == len(later)
    assert not set(later) & set(seeds)
    assert sum(sampled.nodes_per_hop) == len(nodes)
    assert sum(sampled.edges_per_hop) == len(sampled.rows) == len(sampled.cols)
    assert len(sampled.nodes_per_hop) == len(fan_outs) + 1
    expanded_edges = hops(sampled)
    assert len(expanded_edges) == len(fan_outs)
    for (expanded, edges), fan_out in zip(expanded_edges, fan_outs, strict=True):
        assert sorted(sampled.cols[edges].tolist()) == sampled.cols[edges].tolist()
        for position in expanded:
            node = nodes[position]
            own = [edge for edge in edges if sampled.cols[edge] == position]
            ids = sampled.edge_ids[own]
            assert ((adjacency.indptr[node] <= ids) & (ids < adjacency.indptr[node + 1])).all()
            ends = [nodes[sampled.rows[edge]] for edge in own]
            assert adjacency.indices[ids].tolist() == ends
            degree = len(adjacency.neighbours(node))
            if replace and fan_out != ALL:
                assert len(own) == (fan_out if degree else 0)
            else:
                assert (
                    len(own) == len(set(ids)) == (min(degree, fan_out) if fan_out >= 0 else degree)
                )
        assert {int(sampled.cols[edge]) for edge in edges} <= set(expanded)
    assert {int(row) for row in sampled.rows} >= set(range(len(seeds), len(nodes)))


@given(
    graphs_and_seeds(), st.lists(st.integers(-1, 6), max_size=3), st.integers(0, 9), st.booleans()
)
def test_what_is_sampled_is_sound(
    given_graph: tuple[Adjacency, NDArray[np.int64]],
    fan_outs: list[int],
    seed: int,
    replace: bool,
) -> None:
    adjacency, seeds = given_graph
    rng = np.random.default_rng(seed)
    sampled = sample_neighbours(adjacency, seeds, fan_outs, rng, replace=replace)
    assert_sound(sampled, adjacency, seeds.tolist(), fan_outs, replace=replace)
    assert_sound(
        lowest_hash_neighbours(adjacency, seeds, fan_outs, b"salt"),
        adjacency,
        seeds.tolist(),
        fan_outs,
    )


@given(graphs_and_seeds(), st.integers(-1, 6), st.integers(0, 9), st.booleans())
def test_one_hop_is_the_first_hop_of_a_subgraph(
    given_graph: tuple[Adjacency, NDArray[np.int64]], fan_out: int, seed: int, replace: bool
) -> None:
    adjacency, targets = given_graph
    alone, first = np.random.default_rng(seed), np.random.default_rng(seed)
    assert_same_edges(
        sample_one_hop(adjacency, targets, fan_out, alone, replace=replace),
        sample_neighbours(adjacency, targets, [fan_out], first, replace=replace),
    )
    assert alone.random() == first.random()
    assert_same_edges(
        lowest_hash_one_hop(adjacency, targets, fan_out, b"salt"),
        lowest_hash_neighbours(adjacency, targets, [fan_out], b"salt"),
    )


def assert_same_edges(hop: SampledHop, sampled: SampledSubgraph) -> None:
    assert hop.neighbours.tolist() == sampled.nodes[sampled.rows].tolist()
    assert hop.targets.tolist() == sampled.cols.tolist()
    assert sampled.edge_ids is not None
    assert hop.edge_ids.tolist() == sampled.edge_ids.tolist()


def slow_sample(
    adjacency: Adjacency, seeds: Sequence[int], fan_outs: Sequence[int], rng: np.random.Generator
) -> tuple[list[int], set[tuple[int, int]]]:
    """The same by a loop over nodes: all nodes, and the edges as (neighbour, node)."""
    nodes, frontier, edges = list(seeds), list(seeds), set()
    for fan_out in fan_outs:
        added: list[int] = []
        for node in frontier:
            row = adjacency.neighbours(node)
            size = len(row) if fan_out == ALL else min(fan_out, len(row))
            for neighbour in rng.choice(row, size, replace=False).tolist():
                edges.add((neighbour, node))
                if neighbour not in nodes and neighbour not in added:
                    added.append(neighbour)
        nodes, frontier = nodes + added, added
    return nodes, edges


@given(graphs_and_seeds(), st.integers(0, 3), st.booleans())
def test_with_a_fan_out_that_takes_all_the_fast_path_is_the_slow_path(
    given_graph: tuple[Adjacency, NDArray[np.int64]], num_hops: int, unbounded: bool
) -> None:
    adjacency, seeds = given_graph
    seeds = np.unique(seeds)
    fan_outs = [ALL if unbounded else adjacency.num_nodes] * num_hops
    rng = np.random.default_rng(0)
    nodes, edges = slow_sample(adjacency, seeds.tolist(), fan_outs, rng)
    for sampled in (
        sample_neighbours(adjacency, seeds, fan_outs, rng),
        lowest_hash_neighbours(adjacency, seeds, fan_outs, b""),
    ):
        assert sorted(sampled.nodes.tolist()) == sorted(nodes)
        ends = zip(sampled.nodes[sampled.rows], sampled.nodes[sampled.cols], strict=True)
        assert sorted((int(u), int(v)) for u, v in ends) == sorted(edges)


def chi_square(observed: Sequence[int], expected: Sequence[float]) -> float:
    seen, wanted = np.array(observed), np.array(expected)
    return float(((seen - wanted) ** 2 / wanted).sum())


@pytest.mark.parametrize("size", [1, 3, 7])
def test_every_subset_of_neighbours_is_as_likely(size: int) -> None:
    star = adjacency_of({(0, leaf) for leaf in range(1, 9)}, 9)
    num_draws = 28_000
    seeds = np.zeros(num_draws, dtype=np.int64)
    sampled = sample_neighbours(star, seeds, [size], np.random.default_rng(1))
    leaves = np.sort(sampled.nodes[sampled.rows].reshape(num_draws, size), axis=1)
    counts = Counter(map(tuple, leaves.tolist()))
    subsets = list(combinations(range(1, 9), size))
    statistic = chi_square(
        [counts[subset] for subset in subsets], [num_draws / len(subsets)] * len(subsets)
    )
    # Mean and variance of chi-square are its degrees of freedom and twice them.
    freedom = len(subsets) - 1
    assert abs(statistic - freedom) < 4 * np.sqrt(2 * freedom)


def test_with_replacement_every_neighbour_is_as_likely_each_time() -> None:
    star = adjacency_of({(0, leaf) for leaf in range(1, 6)}, 6)
    seeds = np.zeros(10_000, dtype=np.int64)
    sampled = sample_neighbours(star, seeds, [2], np.random.default_rng(2), replace=True)
    pairs = sampled.nodes[sampled.rows].reshape(-1, 2)
    counts = Counter(map(tuple, pairs.tolist()))
    assert len(counts) == 25
    assert abs(chi_square(list(counts.values()), [400.0] * 25) - 24) < 4 * np.sqrt(48)


def test_two_hops_are_distributed_as_those_of_the_slow_path() -> None:
    rng = np.random.default_rng(3)
    weights = np.arange(1, 41) ** -1.0
    ends = rng.choice(40, (400, 2), p=weights / weights.sum())
    adjacency = adjacency_of({(int(u), int(v)) for u, v in ends if u != v}, 40)
    seeds, fan_outs, num_draws = [0, 7, 20], [3, 2], 3_000
    fast, slow = np.zeros(40), np.zeros(40)
    for _ in range(num_draws):
        fast[sample_neighbours(adjacency, np.array(seeds), fan_outs, rng).nodes] += 1
        slow[slow_sample(adjacency, seeds, fan_outs, rng)[0]] += 1
    possible = (fast + slow > 0) & (fast + slow < 2 * num_draws)
    assert possible.sum() > 20
    share = (fast + slow)[possible] / (2 * num_draws)
    deviation = np.sqrt(2 * num_draws * share * (1 - share))
    assert np.abs((fast - slow)[possible] / deviation).max() < 4


def test_a_sample_is_a_function_of_the_generator() -> None:
    adjacency = adjacency_of({(u, (u * 7 + i) % 50) for u in range(50) for i in range(9)}, 50)
    seeds = np.arange(0, 50, 3)
    first, again, other = (
        sample_neighbours(adjacency, seeds, [4, 3], np.random.default_rng(seed))
        for seed in (5, 5, 6)
    )
    assert first.edge_ids.tolist() == again.edge_ids.tolist()
    assert first.nodes.tolist() == again.nodes.tolist()
    assert first.edge_ids.tolist() != other.edge_ids.tolist()


def test_several_adjacencies_are_sampled_side_by_side() -> None:
    ends = np.array([(0, 1), (1, 2), (3, 0), (2, 3), (0, 4)])
    graph = graph_of_follows(5, ends[:, 0], ends[:, 1], np.zeros(5, dtype=np.uint8))
    both = (graph.followees, graph.followers)
    sampled = sample_neighbours(both, np.array([0]), [ALL, ALL], np.random.default_rng(0))
    found = {
        (int(relation), int(sampled.nodes[col]), int(sampled.nodes[row]))
        for relation, row, col in zip(sampled.relations, sampled.rows, sampled.cols, strict=True)
    }
    assert found == {
        *((0, 0, 1), (0, 0, 4), (1, 0, 3)),
        *((0, 1, 2), (1, 1, 0), (1, 4, 0), (0, 3, 0), (1, 3, 2)),
    }
    assert sampled.nodes_per_hop == (1, 3, 1)
    assert sampled.edges_per_hop == (3, 5)
    for relation, adjacency in enumerate(both):
        own = sampled.relations == relation
        ends_found = sampled.nodes[sampled.rows[own]]
        assert adjacency.indices[sampled.edge_ids[own]].tolist() == ends_found.tolist()


def test_wrong_arguments_are_refused() -> None:
    adjacency = adjacency_of({(0, 1)}, 2)
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="drop the users not found"):
        sample_neighbours(adjacency, np.array([0, -1]), [1], rng)
    with pytest.raises(ValueError, match="drop the users not found"):
        sample_neighbours(adjacency, np.array([2]), [1], rng)
    with pytest.raises(ValueError, match="at least 0, or -1"):
        sample_neighbours(adjacency, np.array([0]), [-2], rng)
    with pytest.raises(ValueError, match="drop the users not found"):
        sample_one_hop(adjacency, np.array([0, -1]), 1, rng)
    with pytest.raises(ValueError, match="at least 0, or -1"):
        lowest_hash_one_hop(adjacency, np.array([0]), -2, b"")
    with pytest.raises(ValueError, match="over the same nodes"):
        sample_neighbours([adjacency, adjacency_of(set(), 3)], np.array([0]), [1], rng)


# Inference


def lowest_hash_by_sorting(adjacency: Adjacency, node: int, count: int, salt: bytes) -> list[int]:
    """The neighbours of a node with the smallest hashes, ascending; by plain integers."""

    def mixed(word: int) -> int:
        return int(one_hop.mixed(np.array([word], dtype=np.uint64))[0])

    word = int.from_bytes(blake2b(salt, digest_size=8).digest(), "little")
    keys = [int(key) for key in adjacency.user_keys]
    salted = mixed(keys[node] ^ word)
    row: list[int] = adjacency.neighbours(node).tolist()
    if len(row) > count:
        row = sorted(row, key=lambda neighbour: (mixed(salted ^ keys[neighbour]), neighbour))
    return row[:count]


def clumped(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A hash that is far from uniform: three values, all great."""
    return ~(words % np.uint64(3))


@pytest.mark.parametrize("hash_function", [one_hop.mixed, clumped])
@pytest.mark.parametrize("max_edges_at_once", [4, 1 << 22])
def test_those_with_the_lowest_hashes_are_taken(
    monkeypatch: pytest.MonkeyPatch, hash_function: object, max_edges_at_once: int
) -> None:
    monkeypatch.setattr(one_hop, "mixed", hash_function)
    monkeypatch.setattr(one_hop, "_MAX_EDGES_AT_ONCE", max_edges_at_once)
    rng = np.random.default_rng(4)
    edges = {(int(u), int(v)) for u, v in rng.integers(0, 60, (900, 2))}
    adjacency = adjacency_of(edges | {(0, v) for v in range(1, 60)}, 60)
    for count in (1, 3, 20):
        sampled = lowest_hash_neighbours(adjacency, np.arange(60), [count], b"generation 1")
        for node in range(60):
            taken = sampled.nodes[sampled.rows[sampled.cols == node]].tolist()
            assert taken == lowest_hash_by_sorting(adjacency, node, count, b"generation 1")


def named_graph(names: list[str], edges: set[tuple[str, str]]) -> Adjacency:
    ends = np.array([(names.index(u), names.index(v)) for u, v in sorted(edges)])
    folds = np.zeros(len(ends), dtype=np.uint8)
    return graph_of_follows(len(names), ends[:, 0], ends[:, 1], folds, id_keys(names)).followees


def taken_by_name(
    names: list[str], edges: set[tuple[str, str]], salt: bytes
) -> dict[str, set[str]]:
    sampled = lowest_hash_neighbours(named_graph(names, edges), np.arange(len(names)), [4], salt)
    taken: dict[str, set[str]] = {name: set() for name in names}
    for row, col in zip(sampled.rows, sampled.cols, strict=True):
        taken[names[sampled.nodes[col]]].add(names[sampled.nodes[row]])
    return taken


def test_those_with_the_lowest_hashes_stay_when_others_come() -> None:
    rng = np.random.default_rng(5)
    names = sorted(f"user {number}" for number in range(40))
    pairs = rng.integers(0, 40, (500, 2)).tolist()
    edges = {(names[u], names[v]) for u, v in pairs if u != v}
    before = taken_by_name(names, edges, b"g1")
    # Newcomers that shift every index, and one follow of theirs towards an old user.
    more = sorted([*names, "aaa", "user 20 b", "zzz"])
    same = taken_by_name(more, edges | {("aaa", names[0]), ("zzz", "aaa")}, b"g1")
    assert {name: same[name] for name in names} == before
    # One more neighbour displaces at most one, and only of the user who follows it.
    after = taken_by_name(more, edges | {(name, "zzz") for name in names}, b"g1")
    changed = [name for name in names if after[name] != before[name]]
    assert all(len(before[name] - after[name]) <= 1 for name in names)
    assert all(after[name] - before[name] == {"zzz"} for name in changed)
    assert 0 < len(changed) < 40
    assert taken_by_name(names, edges, b"g2") != before
