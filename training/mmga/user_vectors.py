"""R^I and R^T of users by the network, from their posts; `layer_wise` computes R^G.

Shapes: N users, P posts, B users asked for, Di, Dt widths.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from training.mmga.batches import pixel_rows, token_rows
from training.mmga.model import MMGA
from training.mmga.training_data import PostLists, TrainingData
from training.mmga.user_bank import ModalVectors, UserBank
from training.networks.encoders import ImageEncoder, TextEncoder
from training.networks.pooling import Pooling


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunks:
    """Sizes of the chunks in which users are encoded; they change vectors by rounding only.

    `num_users` bounds the users of a range, whose posts are read together, `num_posts` the posts
    that pass an encoder together, `num_seeds` the users whose edges pass a layer together.
    """

    num_users: int = 4096
    num_posts: int = 256
    num_seeds: int = 512

    def of_users(self, users: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """These users, a chunk at a time."""
        return pieces(users, self.num_users)


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
