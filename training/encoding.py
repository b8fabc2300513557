"""Users to vectors: the encoders over posts, then the graph encoder over fixed neighbourhoods.

Shapes: N users, P posts, Dg, Di, Dt widths.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.batches import blocks_of, pixel_rows, signature_rows, statistics_rows, token_rows
from training.encoders import ImageEncoder, TextEncoder
from training.graph_source import GraphSource
from training.model import MMGA
from training.neighbourhoods import fixed_draw, neighbourhood
from training.pooling import Pooling
from training.training_data import PostLists, TrainingData
from training.user_bank import ModalVectors, UserBank, bank_of

NUM_POSTS_PER_CHUNK = 256
NUM_USERS_PER_CHUNK = 4096
NUM_SEEDS_PER_CHUNK = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class UserVectors:
    """R^G, R^I, R^T of N users; where a user has no image (text), the row is zero."""

    graph: NDArray[np.float32]
    image: NDArray[np.float32]
    text: NDArray[np.float32]
    has_image: NDArray[np.bool_]
    has_text: NDArray[np.bool_]


def encode_users(
    model: MMGA,
    data: TrainingData,
    source: GraphSource,
    *,
    salt: bytes,
    bank: UserBank | None = None,
) -> UserVectors:
    """Vectors of all users, each a function of the weights, its posts and its neighbourhood.

    `source` has no held-out follow for evaluation, all follows for publishing.
    `salt` decides which neighbours stand for a user who has more than the fan-out. `bank` holds
    the modal vectors where they are known already.
    """
    bank = encode_modalities(model, data) if bank is None else bank
    vectors = bank.read(torch.arange(data.num_users))
    return UserVectors(
        graph=encode_graph(model, data, bank, source, salt=salt),
        image=vectors.image.numpy(),
        text=vectors.text.numpy(),
        has_image=vectors.has_image.numpy(),
        has_text=vectors.has_text.numpy(),
    )


def encode_modalities(
    model: MMGA, data: TrainingData, *, users: NDArray[np.int64] | None = None, step: int = 0
) -> UserBank:
    """A bank filled at this step from the newest posts of the users (all of them by default)."""
    users = np.arange(data.num_users) if users is None else users
    config = model.config
    bank = bank_of(data, config)
    bank.step = step
    for start in range(0, len(users), NUM_USERS_PER_CHUNK):
        chunk = users[start : start + NUM_USERS_PER_CHUNK]
        bank.write(torch.from_numpy(chunk), modal_vectors(model, data, chunk))
    return bank


def modal_vectors(model: MMGA, data: TrainingData, users: NDArray[np.int64]) -> ModalVectors:
    """R^I and R^T of these users, pooled over their newest posts."""
    limit = model.config.schedule.num_inference_posts
    image, has_image = _pooled(
        model.image,
        model.pool_image,
        data.images,
        users,
        limit,
        lambda posts: pixel_rows(data.inputs, posts),
    )
    text, has_text = _pooled(
        model.text,
        model.pool_text,
        data.texts,
        users,
        limit,
        lambda posts: token_rows(data.inputs, posts),
        data.inputs.token_counts,
    )
    return ModalVectors(image=image, text=text, has_image=has_image, has_text=has_text)


@torch.no_grad()
def _pooled(
    encoder: TextEncoder | ImageEncoder,
    pool: Pooling,
    lists: PostLists,
    users: NDArray[np.int64],
    limit: int,
    load: Callable[[NDArray[np.int64]], Tensor],
    lengths: NDArray[np.integer] | None = None,
) -> tuple[Tensor, Tensor]:
    """One vector a user from the newest posts; posts of equal length share a chunk."""
    posts, owners = lists.newest(users, limit)
    order = np.arange(len(posts)) if lengths is None else np.argsort(lengths[posts], kind="stable")
    device = next(encoder.parameters()).device
    training = encoder.training
    encoder.eval()
    parts = [
        encoder(load(posts[order[start : start + NUM_POSTS_PER_CHUNK]]).to(device)).cpu()
        for start in range(0, len(posts), NUM_POSTS_PER_CHUNK)
    ]
    encoder.train(training)
    values = torch.zeros(len(posts), encoder.config.width)
    if parts:
        values[torch.from_numpy(order)] = torch.cat(parts)
    pooled, has_any = pool(values.to(device), torch.from_numpy(owners).to(device), len(users))
    return pooled.cpu(), has_any.cpu()


@torch.no_grad()
def encode_graph(
    model: MMGA, data: TrainingData, bank: UserBank, source: GraphSource, *, salt: bytes
) -> NDArray[np.float32]:
    """R^G (N, Dg) over the fixed neighbourhoods of this source."""
    config = model.config
    training = model.training
    model.eval()
    parts = []
    for start in range(0, data.num_users, NUM_SEEDS_PER_CHUNK):
        seeds = np.arange(start, min(start + NUM_SEEDS_PER_CHUNK, data.num_users))
        around = neighbourhood(source, seeds, config.graph.fan_outs, fixed_draw(salt))
        nodes = model.node_inputs(
            bank.read(torch.from_numpy(around.users)),
            statistics_rows(data, around.users),
            signature_rows(data, config, around.users),
        )
        parts.append(model.graph(nodes, blocks_of(around)).numpy())
    model.train(training)
    return np.concatenate(parts)
