"""Vectors of users by the network: R^I and R^T from posts, R^G from fixed neighbourhoods.

Shapes: N users, P posts, B users asked for, Dg, Di, Dt widths.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from training.engine.batch_loader import moved
from training.mmga.batches import blocks_of, pixel_rows, signature_rows, statistics_rows, token_rows
from training.mmga.model import MMGA
from training.mmga.training_data import PostLists, TrainingData
from training.mmga.user_bank import ModalVectors, UserBank
from training.networks.encoders import ImageEncoder, TextEncoder
from training.networks.pooling import Pooling
from training.sampling.neighbourhoods import fixed_draw, neighbourhood
from training.sampling.source import GraphSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunks:
    """Sizes of the chunks in which users are encoded; they change vectors by rounding only.

    `num_users` bounds the users whose posts are read together, `num_posts` those that pass an
    encoder together, `num_seeds` the users whose neighbourhoods are read together. The seeds of
    one chunk belong to one chunk of users.
    """

    num_users: int = 4096
    num_posts: int = 256
    num_seeds: int = 512

    def of_users(self, users: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """These users, a chunk at a time."""
        return pieces(users, self.num_users)

    def of_seeds(self, users: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """These users as seeds, a chunk at a time."""
        return (seeds for chunk in self.of_users(users) for seeds in pieces(chunk, self.num_seeds))


def pieces(users: NDArray[np.int64], length: int) -> Iterator[NDArray[np.int64]]:
    """An array cut into pieces of a length."""
    return (users[start : start + length] for start in range(0, len(users), length))


DEFAULT = Chunks()


@dataclass(frozen=True, slots=True, kw_only=True)
class PostVectors:
    """R^I and R^T of users as arrays; the row of a user without an image (a text) is zero."""

    image: NDArray[np.float32]
    text: NDArray[np.float32]
    has_image: NDArray[np.bool_]
    has_text: NDArray[np.bool_]

    def read(self, users_B: Int[Tensor, " B"]) -> ModalVectors:
        """Vectors of these users, for the network."""
        users = users_B.numpy()
        return PostVectors(
            image=self.image[users],
            text=self.text[users],
            has_image=self.has_image[users],
            has_text=self.has_text[users],
        ).tensors()

    def tensors(self) -> ModalVectors:
        """All rows, for the network; memory is shared."""
        return ModalVectors(
            image=torch.from_numpy(self.image),
            text=torch.from_numpy(self.text),
            has_image=torch.from_numpy(self.has_image),
            has_text=torch.from_numpy(self.has_text),
        )


class ModalSource(Protocol):
    """A source of R^I and R^T for the graph encoder: arrays or files."""

    def read(self, users_B: Int[Tensor, " B"]) -> ModalVectors:
        """Vectors of these users."""


def refill(
    bank: UserBank, model: MMGA, data: TrainingData, *, users: NDArray[np.int64] | None = None
) -> None:
    """Empty the bank, then write R^I and R^T of these users (default: all) from their newest posts.

    The bank is refilled in place, because it takes most of the memory.
    """
    bank.clear()
    for chunk in DEFAULT.of_users(np.arange(data.num_users) if users is None else users):
        bank.write(torch.from_numpy(chunk), post_vectors(model, data, chunk).tensors())


def post_vectors(
    model: MMGA, data: TrainingData, users: NDArray[np.int64], *, chunks: Chunks = DEFAULT
) -> PostVectors:
    """R^I and R^T of these users, pooled over their newest posts."""
    limit = model.config.phases.num_inference_posts
    image, has_image = _pooled(
        model.image,
        model.pool_image,
        data.images,
        users,
        limit,
        lambda posts: pixel_rows(data.inputs, posts),
        chunks,
    )
    text, has_text = _pooled(
        model.text,
        model.pool_text,
        data.texts,
        users,
        limit,
        lambda posts: token_rows(data.inputs, posts),
        chunks,
        data.inputs.token_counts,
    )
    return PostVectors(image=image, text=text, has_image=has_image, has_text=has_text)


@torch.no_grad()
def _pooled(
    encoder: TextEncoder | ImageEncoder,
    pool: Pooling,
    lists: PostLists,
    users: NDArray[np.int64],
    limit: int,
    load: Callable[[NDArray[np.int64]], Tensor],
    chunks: Chunks,
    lengths: NDArray[np.integer] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """One vector a user from the newest posts; posts of equal length share a chunk."""
    posts, owners = lists.newest(users, limit)
    order = np.arange(len(posts)) if lengths is None else np.argsort(lengths[posts], kind="stable")
    device = next(encoder.parameters()).device
    training = encoder.training
    encoder.eval()
    parts = [
        encoder(load(posts[chosen]).to(device)).cpu() for chosen in pieces(order, chunks.num_posts)
    ]
    encoder.train(training)
    values = torch.zeros(len(posts), encoder.config.width)
    if parts:
        values[torch.from_numpy(order)] = torch.cat(parts)
    pooled, has_any = pool(values.to(device), torch.from_numpy(owners).to(device), len(users))
    return pooled.cpu().numpy(), has_any.cpu().numpy()


@torch.no_grad()
def encode_graph(
    model: MMGA,
    data: TrainingData,
    known: ModalSource,
    source: GraphSource,
    *,
    users: NDArray[np.int64],
    salt: bytes,
    chunks: Chunks = DEFAULT,
) -> NDArray[np.float32]:
    """R^G, or the fused vector, (B, Dg) of these users over fixed neighbourhoods of the source."""
    config = model.config
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    parts = []
    for seeds in chunks.of_seeds(users):
        around = neighbourhood(source, seeds, config.graph.fan_outs, fixed_draw(salt))
        read = (
            known.read(torch.from_numpy(around.users)),
            statistics_rows(data, around.users),
            signature_rows(data, config, around.users),
            blocks_of(around),
        )
        vectors, statistics, signature, blocks = moved(read, device)
        nodes = model.node_inputs(vectors, statistics, signature)
        fused = model.fused(model.graph(nodes, blocks), nodes.first(len(seeds)))
        parts.append(fused.float().cpu().numpy())
    model.train(training)
    return np.concatenate(parts)
