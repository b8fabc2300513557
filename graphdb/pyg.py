"""Snapshots in PyTorch Geometric: a sampler for its stock `NodeLoader` and `LinkLoader`.

    sampler = SnapshotSampler(snapshot, [15, 10])
    data = Data(x=features, edge_index=sampler.edge_index())
    for batch in NodeLoader(data, sampler, input_nodes=users, batch_size=512, num_workers=2):
        model(batch.x, batch.edge_index)[: batch.batch_size]

The loaders only look whether `data` has an `edge_index`, so an empty one, (2, 0), does as well and
saves memory. This is the only module of the graph that imports torch.
"""

from collections.abc import Callable, Collection, Sequence
from functools import partial

import numpy as np
import torch
from torch_geometric.sampler import (
    BaseSampler,
    EdgeSamplerInput,
    NegativeSampling,
    NodeSamplerInput,
    SamplerOutput,
)
from torch_geometric.sampler.neighbor_sampler import edge_sample, node_sample

from graphdb.adjacency import Adjacency
from graphdb.folds import HELD_OUT_FOLDS
from graphdb.sampling import SampledSubgraph, sample_neighbours
from graphdb.snapshot import Snapshot
from graphdb.store import Direction


class SnapshotSampler(BaseSampler):
    """Samples neighbours from a snapshot, without the follows of the held-out folds by default.

    Messages flow from the sampled neighbour (its mutual, follower or followee, by `direction`) to
    the user. Draws come from torch's generator: `torch.manual_seed` repeats them, and each worker
    of a loader and each epoch has its own. Pickled, it is the path of the snapshot and the
    options: a worker maps the same files.
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
        rows = torch.from_numpy(self.adjacency.rows()).long()
        neighbours = torch.from_numpy(np.array(self.adjacency.indices)).long()
        return torch.stack([neighbours, rows])

    def sample_from_nodes(self, index: NodeSamplerInput) -> SamplerOutput:
        """The surroundings of the seed users, seeds first."""
        _refuse_times(index.time)
        return node_sample(index, self._sample)

    def sample_from_edges(
        self, index: EdgeSamplerInput, neg_sampling: NegativeSampling | None = None
    ) -> SamplerOutput:
        """The surroundings of both ends of the seed edges and of PyG's negatives for them.

        PyG draws negatives at random; some of them may be edges.
        """
        _refuse_times(index.time)
        num_nodes = self.adjacency.num_nodes
        return edge_sample(index, self._sample, num_nodes, False, None, neg_sampling)

    def _sample(self, seeds: torch.Tensor, seed_times: None) -> SamplerOutput:
        seed_of_draw = int(torch.randint(2**63 - 1, ()))
        sampled = sample_neighbours(
            self.adjacency,
            seeds.numpy(),
            self._fan_outs,
            np.random.default_rng(seed_of_draw),
            replace=self._replace,
        )
        return _output(sampled)

    def __reduce__(self) -> tuple[Callable[[], "SnapshotSampler"], tuple[()]]:
        return self._again, ()


def _refuse_times(times: torch.Tensor | None) -> None:
    if times is not None:
        raise ValueError("a snapshot is of one moment: pass no time to the loader")


def _output(sampled: SampledSubgraph) -> SamplerOutput:
    return SamplerOutput(
        node=torch.from_numpy(sampled.nodes).long(),
        row=torch.from_numpy(sampled.rows).long(),
        col=torch.from_numpy(sampled.cols).long(),
        edge=torch.from_numpy(sampled.edge_ids),
        num_sampled_nodes=list(sampled.nodes_per_hop),
        num_sampled_edges=list(sampled.edges_per_hop),
    )
