"""Edges a second that are sampled from a snapshot's follows, on one core.

Input: a heavy-tailed graph of 1,000,000 users and 10,000,000 follows (both ends of a follow drawn
with a weight of rank ** -0.6, seed 0), its rows of followers memory-mapped as in a snapshot;
batches of 512 distinct users drawn uniformly, fan-out (15, 10). Rivals: a Python loop with
`Generator.choice`, and torch operations with replacement, compared with ours with replacement.
The run ends by asserting that what each samples are edges, that ours and the rival sample
equally many in the first hop, and within 2 % as many in the second.

Bars: 5 million edges/s; the time of a sampled edge at most twice that on 100,000 follows of 10,000
users, a hundredth of the graph, which fits the processor's cache; the memory of a batch (4 bytes a
user of the graph, and what is sampled) at most 32 MB; and 20 times the Cypher sampler, which reads
a Neo4j server of its own on this machine (100,000 follows of 25,000 users, its page cache warm, one
query a hop) while ours reads a snapshot's rows of the same follows.
"""

import os
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.measure import Row, alternate
from benchmarks.rivals import neighbour_loop, torch_sampling
from graphdb import open_graph
from graphdb.adjacency import Adjacency, graph_of_follows
from graphdb.facts import Batch, FollowColumns
from graphdb.sampling.neighbours import lowest_hash_neighbours, sample_neighbours
from graphdb.sampling.pyg import DatabaseSampler
from graphdb.snapshot.files import read_array, write_array
from graphdb.store import GraphStore
from tests.servers import start_neo4j

NUM_USERS = 1_000_000
NUM_FOLLOWS = 10_000_000
NUM_SEEDS = 512
FAN_OUTS = (15, 10)
NUM_BATCHES = 20
RATE_BAR = 5_000_000
MEMORY_BAR = 32
SMALLER = 100
NUM_SERVED_USERS = 25_000
NUM_SERVED_FOLLOWS = 100_000
NUM_SERVED_BATCHES = 4
FOLLOWS_A_COMMIT = 10_000
QUICK = {"num_users": 100_000, "num_follows": 400_000, "num_served": 5_000}

Sample = tuple[NDArray[np.int64], NDArray[np.int64], Sequence[int]]
"""Neighbour and user (E_s,) of each sampled edge, edges of each hop."""


def run(
    num_users: int = NUM_USERS,
    num_follows: int = NUM_FOLLOWS,
    num_served: int = NUM_SERVED_FOLLOWS,
) -> list[Row]:
    """Measure ours against each rival in turn, then the sampler of inference alone."""
    with tempfile.TemporaryDirectory() as folder:
        cypher = against_cypher(Path(folder) / "neo4j", num_served)
    with tempfile.TemporaryDirectory() as folder, one_core():
        bench = SamplingBenchmark(mapped_followers(Path(folder), num_users, num_follows))
        (Path(folder) / "small").mkdir()
        small = SamplingBenchmark(
            mapped_followers(Path(folder) / "small", num_users // SMALLER, num_follows // SMALLER)
        )
        fan_out = f"fan-out {FAN_OUTS}, one core"
        rows = [
            Row(
                name=f"sampling: {num_follows:,} follows, {fan_out}",
                unit="edges/s",
                ours=float(np.median([bench.rate(bench.ours) for _ in range(5)])),
                rounds=5,
                bar=RATE_BAR,
            ),
            *flat(bench, small, f"{num_follows // SMALLER:,} follows"),
            cypher,
            alternate(
                f"sampling: without replacement, {fan_out}",
                "edges/s",
                ours=lambda: bench.rate(bench.ours),
                rival=lambda: bench.rate(bench.loop),
                rival_name="Python loop, Generator.choice",
                rounds=5,
            ),
            alternate(
                f"sampling: with replacement, {fan_out}",
                "edges/s",
                ours=lambda: bench.rate(bench.ours_again),
                rival=lambda: bench.rate(bench.torch),
                rival_name="torch, vectorised",
                rounds=5,
            ),
            Row(
                name=f"sampling: nearest by hash (inference), {fan_out}",
                unit="edges/s",
                ours=bench.rate(bench.nearest),
            ),
        ]
        bench.check()
    return rows


def flat(bench: "SamplingBenchmark", small: "SamplingBenchmark", rival_name: str) -> list[Row]:
    """The time of an edge beside that on a hundredth of the graph, and the memory of a batch."""
    return [
        alternate(
            "sampling: time of a sampled edge",
            "ns",
            ours=lambda: 1e9 / bench.rate(bench.ours),
            rival=lambda: 1e9 / small.rate(small.ours),
            rival_name=rival_name,
            rounds=5,
            better="lower",
            bar=2.0,
        ),
        Row(
            name="sampling: memory of a batch, beside the mapped graph",
            unit="MB",
            ours=bench.peak_megabytes(),
            better="lower",
            bar=MEMORY_BAR,
        ),
    ]


def against_cypher(folder: Path, num_follows: int) -> Row:
    """Our sampler on a snapshot's rows beside the database's on a server. Raises ServerMissing."""
    num_users = num_follows * NUM_SERVED_USERS // NUM_SERVED_FOLLOWS
    followers, followees = heavy_tailed_follows(num_users, num_follows)
    names = [f"u{number:07}" for number in range(num_users)]
    folds = np.full(num_follows, 99, dtype=np.uint8)
    bench = SamplingBenchmark(graph_of_follows(num_users, followers, followees, folds).followers)
    bench.batches = bench.batches[:NUM_SERVED_BATCHES]
    server = start_neo4j(folder)
    try:
        with closing(open_graph(server.url)) as store:
            fill(store, names, followers, followees)
        sampler = DatabaseSampler(
            server.url, names, FAN_OUTS, direction="followers", without_folds=()
        )
        row = alternate(
            f"sampling: {num_follows:,} follows, fan-out {FAN_OUTS}",
            "edges/s",
            ours=lambda: bench.rate(bench.ours),
            rival=lambda: bench.rate(lambda seeds: (sampler.grow(seeds, 0).num_edges, None)),
            rival_name="Cypher on Neo4j",
            rounds=3,
            bar=20,
        )
        check_alike(bench, sampler)
        sampler.close()
    finally:
        server.kill()
    return row


def fill(
    store: GraphStore,
    names: Sequence[str],
    followers: NDArray[np.int64],
    followees: NDArray[np.int64],
) -> None:
    """Commit the follows, in columns."""
    for start in range(0, len(followers), FOLLOWS_A_COMMIT):
        part = slice(start, start + FOLLOWS_A_COMMIT)
        ends = [[names[each] for each in column[part]] for column in (followers, followees)]
        count = len(ends[0])
        ties = np.random.default_rng(start).integers(-(2**63), 2**63, count).tolist()
        store.apply(
            Batch(
                follows=FollowColumns(
                    follower_ids=ends[0],
                    followee_ids=ends[1],
                    times=[1] * count,
                    ties=ties,
                    live=[True] * count,
                )
            )
        )


def check_alike(bench: "SamplingBenchmark", sampler: DatabaseSampler) -> None:
    """Assert that both sample edges: equally many in the first hop, nearly so in the second."""
    ours, theirs = np.zeros(2), np.zeros(2)
    for number, seeds in enumerate(bench.batches):
        found = sampler.grow(seeds, number)
        nodes = found.nodes
        assert bench.adjacency.contains(nodes[found.cols], nodes[found.rows]).all()
        theirs += found.edges_per_hop
        ours += bench.ours(seeds)[1]()[2]
    assert ours[0] == theirs[0], (ours, theirs)
    assert abs(ours[1] / theirs[1] - 1) < 0.02, (ours, theirs)


class SamplingBenchmark:
    """The rows, the batches of seeds, and the samplers under one signature."""

    def __init__(self, adjacency: Adjacency) -> None:
        self.adjacency = adjacency
        self.indptr = torch.from_numpy(np.array(adjacency.indptr))
        self.indices = torch.from_numpy(np.array(adjacency.indices))
        self.rng = np.random.default_rng(1)
        self.batches = [
            self.rng.choice(adjacency.num_nodes, NUM_SEEDS, replace=False)
            for _ in range(NUM_BATCHES)
        ]

    def rate(self, sampler: Callable[[NDArray[np.int64]], tuple[int, object]]) -> float:
        """Edges a second over all batches."""
        start = time.perf_counter()
        num_edges = sum(sampler(seeds)[0] for seeds in self.batches)
        return num_edges / (time.perf_counter() - start)

    def peak_megabytes(self) -> float:
        """What sampling one batch allocates at most."""
        tracemalloc.start()
        self.ours(self.batches[0])
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak / 1e6

    def ours(self, seeds: NDArray[np.int64]) -> tuple[int, Callable[[], Sample]]:
        return self._ours(seeds, again=False)

    def ours_again(self, seeds: NDArray[np.int64]) -> tuple[int, Callable[[], Sample]]:
        return self._ours(seeds, again=True)

    def nearest(self, seeds: NDArray[np.int64]) -> tuple[int, None]:
        return lowest_hash_neighbours(
            self.adjacency, seeds, FAN_OUTS, b"generation"
        ).num_edges, None

    def loop(self, seeds: NDArray[np.int64]) -> tuple[int, Callable[[], Sample]]:
        nodes, rows, cols, edges_per_hop = neighbour_loop.sample(
            self.adjacency.indptr, self.adjacency.indices, seeds, FAN_OUTS, self.rng
        )
        ids = np.array(nodes)
        return len(rows), lambda: (ids[rows], ids[cols], edges_per_hop)

    def torch(self, seeds: NDArray[np.int64]) -> tuple[int, Callable[[], Sample]]:
        nodes, rows, cols, edges_per_hop = torch_sampling.sample(
            self.indptr, self.indices, torch.from_numpy(seeds), FAN_OUTS
        )
        return len(rows), lambda: (nodes[rows].numpy(), nodes[cols].numpy(), edges_per_hop)

    def _ours(self, seeds: NDArray[np.int64], *, again: bool) -> tuple[int, Callable[[], Sample]]:
        sampled = sample_neighbours(self.adjacency, seeds, FAN_OUTS, self.rng, replace=again)
        nodes = sampled.nodes.astype(np.int64)
        return sampled.num_edges, lambda: (
            nodes[sampled.rows],
            nodes[sampled.cols],
            sampled.edges_per_hop,
        )

    def check(self) -> None:
        """Assert that ours and each rival sample edges, and equally many."""
        for mine, theirs in ((self.ours, self.loop), (self.ours_again, self.torch)):
            first, second = self._edges_of_hops(mine), self._edges_of_hops(theirs)
            assert first[0] == second[0], (first, second)
            assert abs(first[1] / second[1] - 1) < 0.02, (first, second)

    def _edges_of_hops(
        self, sampler: Callable[[NDArray[np.int64]], tuple[int, Callable[[], Sample]]]
    ) -> NDArray[np.int64]:
        totals = np.zeros(len(FAN_OUTS), dtype=np.int64)
        for seeds in self.batches:
            neighbours, users, edges_per_hop = sampler(seeds)[1]()
            assert self.adjacency.contains(users, neighbours).all()
            totals += np.array(edges_per_hop)
        return totals


def mapped_followers(folder: Path, num_users: int, num_follows: int) -> Adjacency:
    """The rows of followers of the generated graph, mapped from files."""
    followers, followees = heavy_tailed_follows(num_users, num_follows)
    folds = np.zeros(num_follows, dtype=np.uint8)
    adjacency = graph_of_follows(num_users, followers, followees, folds).followers
    for name in ("indptr", "indices"):
        write_array(folder, name, getattr(adjacency, name))
    return replace(
        adjacency, indptr=read_array(folder, "indptr"), indices=read_array(folder, "indices")
    )


def heavy_tailed_follows(
    num_users: int, num_follows: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Distinct follows: both ends drawn in proportion to rank ** -0.6, ranks shuffled."""
    rng = np.random.default_rng(0)
    share = np.cumsum(np.arange(1, num_users + 1) ** -0.6)
    users = rng.permutation(num_users)

    def drawn(count: int) -> NDArray[np.int64]:
        ranks = np.searchsorted(share, rng.random(count) * share[-1])
        ends: NDArray[np.int64] = users[np.minimum(ranks, num_users - 1)]
        return ends

    pairs = np.empty(0, dtype=np.int64)
    while len(pairs) < num_follows:
        missing = (num_follows - len(pairs)) * 21 // 20 + 1
        follower, followee = drawn(missing), drawn(missing)
        fresh = (follower * num_users + followee)[follower != followee]
        pairs = np.unique(np.concatenate((pairs, fresh)))
    pairs = rng.permutation(pairs)[:num_follows]
    return pairs // num_users, pairs % num_users


@contextmanager
def one_core() -> Iterator[None]:
    """Bind this process to one core while it measures."""
    cores, threads = os.sched_getaffinity(0), torch.get_num_threads()
    os.sched_setaffinity(0, {max(cores)})
    torch.set_num_threads(1)
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
        torch.set_num_threads(threads)


if __name__ == "__main__":
    for row in run():
        print(row)
