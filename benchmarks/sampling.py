"""Edges a second that are sampled from a snapshot's follows, on one core.

Input: a heavy-tailed graph of 1,000,000 users and 10,000,000 follows (both ends of a follow drawn
with a weight of rank ** -0.6, seed 0), its rows of followers memory-mapped as in a snapshot;
batches of 512 distinct users drawn uniformly, fan-out (15, 10). Rivals: a Python loop with
`Generator.choice`, and torch operations with replacement, compared with ours with replacement.
The run ends by asserting that what each samples are edges, that ours and the rival sample
equally many in the first hop, and within 2 % as many in the second.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.measure import Row, alternate
from benchmarks.rivals import neighbour_loop, torch_sampling
from graphdb.adjacency import Adjacency, graph_of_follows
from graphdb.sampling import nearest_by_hash, sample_neighbours
from graphdb.snapshot_files import read_array, write_array

NUM_USERS = 1_000_000
NUM_FOLLOWS = 10_000_000
NUM_SEEDS = 512
FAN_OUTS = (15, 10)
NUM_BATCHES = 20

Sample = tuple[NDArray[np.int64], NDArray[np.int64], Sequence[int]]
"""Neighbour and user (E_s,) of each sampled edge, edges of each hop."""


def run(num_users: int = NUM_USERS, num_follows: int = NUM_FOLLOWS) -> list[Row]:
    """Measure ours against each rival in turn, then the sampler of inference alone."""
    with tempfile.TemporaryDirectory() as folder, one_core():
        bench = SamplingBenchmark(mapped_followers(Path(folder), num_users, num_follows))
        fan_out = f"fan-out {FAN_OUTS}, one core"
        rows = [
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

    def ours(self, seeds: NDArray[np.int64]) -> tuple[int, Callable[[], Sample]]:
        return self._ours(seeds, again=False)

    def ours_again(self, seeds: NDArray[np.int64]) -> tuple[int, Callable[[], Sample]]:
        return self._ours(seeds, again=True)

    def nearest(self, seeds: NDArray[np.int64]) -> tuple[int, None]:
        return nearest_by_hash(self.adjacency, seeds, FAN_OUTS, b"generation").num_edges, None

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
