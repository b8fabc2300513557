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

from training.inputs.kept_vectors import KeptVectors
from training.mmga.batches import pixel_rows, token_rows
from training.mmga.model import MMGA
from training.mmga.training_data import TrainingData
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


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptPosts:
    """Vectors of posts that the encoders have given before."""

    image: KeptVectors
    text: KeptVectors


def post_vectors(
    model: MMGA,
    data: TrainingData,
    users: NDArray[np.int64],
    *,
    chunks: Chunks = DEFAULT,
    kept: KeptPosts | None = None,
) -> PostVectors:
    """R^I and R^T of these users, pooled over their newest posts.

    Posts whose vectors are `kept` are not encoded again; vectors of the others are added to it.
    """
    limit, inputs = model.config.phases.num_inference_posts, data.inputs
    images, image_owners = data.images.newest(users, limit)
    texts, text_owners = data.texts.newest(users, limit)
    with torch.no_grad():
        images_PD = _encoded(
            model.image,
            images,
            lambda posts: pixel_rows(inputs, posts),
            inputs.image_hashes,
            chunks.num_posts,
            None if kept is None else kept.image,
        )
        texts_PD = _encoded(
            model.text,
            texts,
            lambda posts: token_rows(inputs, posts),
            inputs.caption_hashes,
            chunks.num_posts,
            None if kept is None else kept.text,
            lengths=inputs.token_counts,
        )
        device = next(model.parameters()).device
        image, has_image = _pooled(model.pool_image, images_PD.to(device), image_owners, len(users))
        text, has_text = _pooled(model.pool_text, texts_PD.to(device), text_owners, len(users))
    return PostVectors(image=image, text=text, has_image=has_image, has_text=has_text)


def _encoded(
    encoder: TextEncoder | ImageEncoder,
    posts: NDArray[np.int64],
    load: Callable[[NDArray[np.int64]], Tensor],
    hashes: NDArray[np.uint64],
    num_posts: int,
    kept: KeptVectors | None,
    lengths: NDArray[np.integer] | None = None,
) -> Tensor:
    """The vector of each post; posts of equal length share a chunk."""
    values = torch.zeros(len(posts), encoder.config.width)
    left = np.arange(len(posts))
    if kept is not None:
        known, vectors = kept.find(np.asarray(hashes[posts]))
        values[torch.from_numpy(known)] = torch.from_numpy(vectors)
        left = np.flatnonzero(~known)
    order = left if lengths is None else left[np.argsort(lengths[posts[left]], kind="stable")]
    device, training = next(encoder.parameters()).device, encoder.training
    encoder.eval()
    for chosen in pieces(order, num_posts):
        values[torch.from_numpy(chosen)] = encoder(load(posts[chosen]).to(device)).cpu()
    encoder.train(training)
    if kept is not None:
        kept.add(np.asarray(hashes[posts[left]]), values[torch.from_numpy(left)].numpy())
    return values


def _pooled(
    pool: Pooling, values_PD: Tensor, owners: NDArray[np.int64], num_users: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """One vector a user, and which users have one."""
    owners_P = torch.from_numpy(owners).to(values_PD.device)
    pooled, has_any = pool(values_PD, owners_P, num_users)
    return pooled.cpu().numpy(), has_any.cpu().numpy()
