"""The graph in PyTorch Geometric: samplers for its stock `NodeLoader` and `LinkLoader`.

    sampler = SnapshotSampler(snapshot, [15, 10])
    data = Data(x=features, edge_index=sampler.edge_index())
    for batch in NodeLoader(data, sampler, input_nodes=users, batch_size=512, num_workers=2):
        model(batch.x, batch.edge_index)[: batch.batch_size]

The loaders only check that `data` has an `edge_index`, so an empty one, (2, 0), saves memory.
`DatabaseSampler` samples from a live graph. This is the only module of the
graph that imports torch.
"""

import os
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch_geometric.sampler import (
    BaseSampler,
    EdgeSamplerInput,
    NegativeSampling,
    NodeSamplerInput,
    SamplerOutput,
)
from torch_geometric.sampler.neighbor_sampler import edge_sample, node_sample

from graphdb.adjacency import Adjacency, graph_of_follows
from graphdb.folds import HELD_OUT_FOLDS, folds_of_pairs
from graphdb.open import open_graph
from graphdb.sampling.neighbours import Numbering, SampledSubgraph, sample_neighbours
from graphdb.snapshot.id_column import IdColumn, IdIndex
from graphdb.snapshot.snapshot import Snapshot
from graphdb.store import Direction, GraphStore


class FollowSampler(BaseSampler):
    """A PyG sampler of follows; subclasses sample subgraphs and list all edges.

    Messages flow from the sampled neighbour (its mutual, follower or followee, by direction) to
    the user. Draws come from torch's generator: `torch.manual_seed` repeats them, and each worker
    of a loader and each epoch has its own.
    """

    num_users: int

    def grow(self, seeds: NDArray[np.int64], seed: int) -> SampledSubgraph:
        """The sampled neighbourhood of users, a function of the seed of the draw."""
        raise NotImplementedError

    def edge_index(self) -> torch.Tensor:
        """All edges (2, E), neighbour -> user."""
        raise NotImplementedError

    def sample_from_nodes(self, index: NodeSamplerInput) -> SamplerOutput:
        """The sampled neighbourhood of the seed users, seeds first."""
        _refuse_times(index.time)
        return node_sample(index, self._sample)

    def sample_from_edges(
        self, index: EdgeSamplerInput, neg_sampling: NegativeSampling | None = None
    ) -> SamplerOutput:
        """The sampled neighbourhood of the users of seed edges and of PyG's negatives.

        PyG draws negatives at random; some of them may be edges.
        """
        _refuse_times(index.time)
        return edge_sample(index, self._sample, self.num_users, False, None, neg_sampling)

    def _sample(self, seeds: torch.Tensor, seed_times: None) -> SamplerOutput:
        return _output(self.grow(seeds.numpy(), int(torch.randint(2**63 - 1, ()))))


class SnapshotSampler(FollowSampler):
    """Samples neighbours from a snapshot, without the follows of the held-out folds by default.

    A pickle contains the path of the snapshot and the options; a worker maps the same files.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        fan_outs: Sequence[int],
        *,
        direction: Direction = "mutual",
        without_folds: Collection[int] = HELD_OUT_FOLDS,
        replace: bool = False,
    ) -> None:
        full: Adjacency = getattr(snapshot, direction)
        self.adjacency = full.without_folds(without_folds) if len(without_folds) else full
        self.num_users = full.num_nodes
        self._fan_outs = tuple(fan_outs)
        self._replace = replace
        self._again = partial(
            SnapshotSampler,
            snapshot,
            self._fan_outs,
            direction=direction,
            without_folds=without_folds,
            replace=replace,
        )

    def edge_index(self) -> torch.Tensor:
        """All edges (2, E), neighbour -> user, in the order that `e_id` of a batch refers to."""
        return _all_edges(self.adjacency)

    def grow(self, seeds: NDArray[np.int64], seed: int) -> SampledSubgraph:
        """The sampled neighbourhood of users."""
        rng = np.random.default_rng(seed)
        return sample_neighbours(self.adjacency, seeds, self._fan_outs, rng, replace=self._replace)

    def __reduce__(self) -> tuple[Callable[[], "SnapshotSampler"], tuple[()]]:
        return self._again, ()


class DatabaseSampler(FollowSampler):
    """Samples neighbours from a live graph as it is at each query, one query a hop.

    User i of a loader is `user_ids[i]`; other users of the graph are ignored.
    Batches have no `e_id`. Each process that samples opens the graph for itself, so it can be
    pickled and forked; `close` what this process has opened.
    """

    def __init__(
        self,
        graph_url: str,
        user_ids: Sequence[str],
        fan_outs: Sequence[int],
        *,
        direction: Direction = "mutual",
        without_folds: Collection[int] = HELD_OUT_FOLDS,
    ) -> None:
        self._url = graph_url
        self._ids = user_ids if isinstance(user_ids, IdColumn) else IdColumn.of(user_ids)
        self._index = IdIndex.of(self._ids)
        self.num_users = len(self._ids)
        self._fan_outs = tuple(fan_outs)
        self._direction: Direction = direction
        self._without_folds = tuple(without_folds)
        self._opened: tuple[int, GraphStore] | None = None

    def edge_index(self) -> torch.Tensor:
        """All current edges (2, E), neighbour -> user, by a bulk read; for seed edges."""
        follows = self._store().follows()
        numbers = self._index.find(follows.user_ids)
        followers, followees = numbers[follows.followers], numbers[follows.followees]
        known = (followers >= 0) & (followees >= 0)
        followers, followees = followers[known], followees[known]
        folds = folds_of_pairs(self._ids, followers, followees)
        graph = graph_of_follows(self.num_users, followers, followees, folds)
        adjacency: Adjacency = getattr(graph, self._direction)
        return _all_edges(adjacency.without_folds(self._without_folds))

    def grow(self, seeds: NDArray[np.int64], seed: int) -> SampledSubgraph:
        """The sampled neighbourhood of users."""
        rng = np.random.default_rng(seed)
        numbering = Numbering(self.num_users, np.asarray(seeds, dtype=np.int32))
        rows, cols, starts = [], [], [0]
        for fan_out in self._fan_outs:
            frontier = numbering.nodes[starts[-1] :]
            starts.append(len(numbering.nodes))
            neighbours, targets = self._hop(frontier, fan_out, int(rng.integers(2**62)))
            rows.append(numbering.number(neighbours))
            cols.append(targets + np.int32(starts[-2]))
        num_edges = [len(each) for each in rows]
        return SampledSubgraph(
            nodes=numbering.nodes,
            rows=np.concatenate(rows),
            cols=np.concatenate(cols),
            edge_ids=None,
            relations=np.zeros(sum(num_edges), dtype=np.uint8),
            nodes_per_hop=tuple(np.diff([0, *starts[1:], len(numbering.nodes)]).tolist()),
            edges_per_hop=tuple(num_edges),
        )

    def _hop(
        self, nodes: NDArray[np.int32], fan_out: int, seed: int
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Neighbours, and for each the position of its target in `nodes`."""
        names = self._store().sample(
            self._ids[nodes],
            self._direction,
            fan_out,
            without_folds=self._without_folds,
            seed=seed,
        )
        found = self._index.find([name for row in names for name in row])
        targets = np.repeat(np.arange(len(nodes), dtype=np.int32), [len(row) for row in names])
        return found[found >= 0].astype(np.int32), targets[found >= 0]

    def _store(self) -> GraphStore:
        """The graph, opened once by each process."""
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = os.getpid(), open_graph(self._url, read_only=True)
        return self._opened[1]

    def close(self) -> None:
        """Close the graph; the next query opens it again."""
        if self._opened is not None and self._opened[0] == os.getpid():
            self._opened[1].close()
        self._opened = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_opened": None}


def _all_edges(adjacency: Adjacency) -> torch.Tensor:
    rows = torch.from_numpy(adjacency.rows()).long()
    neighbours = torch.from_numpy(np.array(adjacency.indices)).long()
    return torch.stack([neighbours, rows])


def _refuse_times(times: torch.Tensor | None) -> None:
    if times is not None:
        raise ValueError("edges are those of one moment: pass no time to the loader")


def _output(sampled: SampledSubgraph) -> SamplerOutput:
    return SamplerOutput(
        node=torch.from_numpy(sampled.nodes).long(),
        row=torch.from_numpy(sampled.rows).long(),
        col=torch.from_numpy(sampled.cols).long(),
        edge=None if sampled.edge_ids is None else torch.from_numpy(sampled.edge_ids),
        num_sampled_nodes=list(sampled.nodes_per_hop),
        num_sampled_edges=list(sampled.edges_per_hop),
    )
