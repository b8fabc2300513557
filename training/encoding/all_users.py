"""Encodes users: the encoders over posts, then the graph encoder layer by layer.

Shapes: N users, P posts, Dg, Di, Dt widths.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from training.mmga.layer_wise import LayerEncoder
from training.mmga.model import MMGA
from training.mmga.training_data import TrainingData
from training.mmga.user_vectors import DEFAULT, Chunks, PostVectors, post_vectors
from training.sampling.source import GraphSource


@dataclass(frozen=True, slots=True, kw_only=True)
class UserVectors(PostVectors):
    """R^G, R^I, R^T of N users.

    With gated fusion, `graph` is the fused vector R instead of R^G.
    """

    graph: NDArray[np.float32]


def encode_users(
    model: MMGA,
    data: TrainingData,
    source: GraphSource,
    *,
    salt: bytes,
    known: PostVectors | None = None,
    chunks: Chunks = DEFAULT,
) -> UserVectors:
    """Vectors of all users, each a function of the weights, its posts and its neighbourhood.

    `source` has no held-out follow for evaluation, and all follows for publishing. `salt` decides
    which neighbours are taken of a user who has more than the fan-out. `known` holds R^I and R^T if
    they have been computed already.
    """
    users = np.arange(data.num_users)
    if known is None:
        known = encode_posts(model, data, users, chunks=chunks)
    layers = LayerEncoder(
        model=model, data=data, known=known, source=source, salt=salt, chunks=chunks
    )
    return UserVectors(
        graph=layers.encode(),
        image=known.image,
        text=known.text,
        has_image=known.has_image,
        has_text=known.has_text,
    )


def encode_posts(
    model: MMGA, data: TrainingData, users: NDArray[np.int64], *, chunks: Chunks = DEFAULT
) -> PostVectors:
    """R^I and R^T of these users, in their order."""
    parts = [post_vectors(model, data, chunk, chunks=chunks) for chunk in chunks.of_users(users)]
    return PostVectors(
        image=np.concatenate([each.image for each in parts]),
        text=np.concatenate([each.text for each in parts]),
        has_image=np.concatenate([each.has_image for each in parts]),
        has_text=np.concatenate([each.has_text for each in parts]),
    )


def best_device() -> torch.device:
    """The GPU of this process if it has one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
