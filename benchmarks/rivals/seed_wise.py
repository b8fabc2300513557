"""R^G seed by seed: the whole neighbourhood of each user is expanded and encoded.

It defines what layer-wise encoding has to compute, and costs as many messages as the neighbourhoods
of all users have edges.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from training.mmga.batches import blocks_of, signature_rows, statistics_rows
from training.mmga.model import MMGA
from training.mmga.training_data import TrainingData
from training.mmga.user_vectors import ModalSource, pieces
from training.sampling.neighbourhoods import fixed_draw, neighbourhood
from training.sampling.source import GraphSource

SEEDS = 512


@torch.no_grad()
def seed_wise(
    model: MMGA,
    data: TrainingData,
    known: ModalSource,
    source: GraphSource,
    *,
    users: NDArray[np.int64],
    salt: bytes,
    num_seeds: int = SEEDS,
) -> NDArray[np.float32]:
    """R^G, or the fused vector, (B, Dg) of these users."""
    model.eval()
    parts = []
    for seeds in pieces(users, num_seeds):
        around = neighbourhood(source, seeds, model.config.graph.fan_outs, fixed_draw(salt))
        nodes = model.node_inputs(
            known.read(torch.from_numpy(around.users)),
            statistics_rows(data, around.users),
            signature_rows(data, model.config, around.users),
        )
        graph = model.graph(nodes, blocks_of(around))
        parts.append(model.fused(graph, nodes.first(len(seeds))).numpy())
    return np.concatenate(parts)
