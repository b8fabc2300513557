"""Users to vectors: the encoders over posts, then the graph encoder over fixed neighbourhoods.

Shapes: N users, P posts, Dg, Di, Dt widths.
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
    """How much is encoded at once; up to rounding, this changes no vector.

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
class UserVectors:
    """R^G, R^I, R^T of N users; where a user has no image (text), the row is zero.

    Where the run fuses the three, `graph` is the fused vector: it is what is left of R^G.
    """

    graph: NDArray[np.float32]
    image: NDArray[np.float32]
    text: NDArray[np.float32]
    has_image: NDArray[np.bool_]
    has_text: NDArray[np.bool_]


class ModalSource(Protocol):
    """Where the graph encoder reads R^I and R^T: a bank, arrays, or files."""

    def read(self, users_B: Int[Tensor, " B"]) -> ModalVectors:
        """Vectors of these users."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownVectors:
    """R^I and R^T of all users in arrays."""

    image: NDArray[np.float32]
    text: NDArray[np.float32]
    has_image: NDArray[np.bool_]
    has_text: NDArray[np.bool_]

    def read(self, users_B: Int[Tensor, " B"]) -> ModalVectors:
        """Vectors of these users."""
        users = users_B.numpy()
        return ModalVectors(
            image=torch.from_numpy(self.image[users]),
            text=torch.from_numpy(self.text[users]),
            has_image=torch.from_numpy(self.has_image[users]),
            has_text=torch.from_numpy(self.has_text[users]),
        )


def encode_users(
    model: MMGA,
    data: TrainingData,
    source: GraphSource,
    *,
    salt: bytes,
    known: KnownVectors | None = None,
    chunks: Chunks = DEFAULT,
) -> UserVectors:
    """Vectors of all users, each a function of the weights, its posts and its neighbourhood.

    `source` has no held-out follow for evaluation, all follows for publishing.
    `salt` decides which neighbours stand for a user who has more than the fan-out. `known` holds
    the modal vectors where they are known already.
    """
    users = np.arange(data.num_users)
    if known is None:
        known = encode_posts(model, data, users, chunks=chunks)
    return UserVectors(
        graph=encode_graph(model, data, known, source, users=users, salt=salt, chunks=chunks),
        image=known.image,
        text=known.text,
        has_image=known.has_image,
        has_text=known.has_text,
    )


def encode_posts(
    model: MMGA, data: TrainingData, users: NDArray[np.int64], *, chunks: Chunks = DEFAULT
) -> KnownVectors:
    """R^I and R^T of these users, in their order."""
    parts = [modal_vectors(model, data, chunk, chunks=chunks) for chunk in chunks.of_users(users)]
    return KnownVectors(
        image=np.concatenate([each.image.numpy() for each in parts]),
        text=np.concatenate([each.text.numpy() for each in parts]),
        has_image=np.concatenate([each.has_image.numpy() for each in parts]),
        has_text=np.concatenate([each.has_text.numpy() for each in parts]),
    )


def refill(
    bank: UserBank, model: MMGA, data: TrainingData, *, users: NDArray[np.int64] | None = None
) -> None:
    """Empty the bank, then write R^I and R^T of these users (by default all), of the newest posts.

    In place: of a million users the bank is what takes most memory.
    """
    bank.clear()
    for chunk in DEFAULT.of_users(np.arange(data.num_users) if users is None else users):
        bank.write(torch.from_numpy(chunk), modal_vectors(model, data, chunk))


def modal_vectors(
    model: MMGA, data: TrainingData, users: NDArray[np.int64], *, chunks: Chunks = DEFAULT
) -> ModalVectors:
    """R^I and R^T of these users, pooled over their newest posts; on the CPU."""
    limit = model.config.schedule.num_inference_posts
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
    return ModalVectors(image=image, text=text, has_image=has_image, has_text=has_text)


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
) -> tuple[Tensor, Tensor]:
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
    return pooled.cpu(), has_any.cpu()


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


def best_device() -> torch.device:
    """The GPU of this process where it has one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
