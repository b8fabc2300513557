"""The batch of one step: a function of the training data and the step's random numbers.

A batch depends neither on the bank nor on a device, so batches can be drawn ahead, in any order.

Shapes: C captions, M images, T tokens, U users, B connected pairs, K candidates, Q pairs,
n nodes of a subgraph, F statistics, S signature width, L captions for language modelling,
A posts with image and caption.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from numpy.typing import NDArray
from torch import Tensor

from training.engine.sharding import Arrays, Shard, whole
from training.inputs.post_inputs import PostInputs
from training.mmga.config import RunConfig
from training.mmga.graph_encoder import Block
from training.mmga.objectives.node_features import mask_nodes
from training.mmga.training_data import TrainingData, signatures
from training.networks.language_modelling import mask_tokens
from training.sampling.negatives import draw_negatives
from training.sampling.neighbourhoods import Neighbourhood, neighbourhood, pair_keys, random_draw
from training.sampling.snapshot_source import choose_below

MAX_GROUPS = 4
MIN_CAPTIONS_OF_GROUP = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class PostBatch:
    """Captions for language modelling and posts with both modalities for alignment."""

    lm_tokens: Int[Tensor, "L T"]
    lm_corrupted: Int[Tensor, "L T"]
    lm_targets: Bool[Tensor, "L T"]
    aligned_tokens: Int[Tensor, "A T"]
    aligned_pixels: UInt8[Tensor, "A 3 S S"]
    caption_hashes: Int[Tensor, " A"]
    image_hashes: Int[Tensor, " A"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UserBatch:
    """Connected users with some posts of each, and bank users to contrast them with.

    `tokens` are groups of captions of similar length, each cut to its longest, to reduce padding.
    Owners, sources and partners are positions in `users`. `negatives[i, j]` is true if candidate
    j (the partners, then the bank users) is a negative of source i, `negatives_back` the same for
    partner i and the sources.
    """

    users: Int[Tensor, " U"]
    tokens: list[Int[Tensor, "_ _"]]
    token_owners: Int[Tensor, " C"]
    pixels: UInt8[Tensor, "M 3 S S"]
    pixel_owners: Int[Tensor, " M"]
    sources: Int[Tensor, " B"]
    partners: Int[Tensor, " B"]
    bank_users: Int[Tensor, " K"]
    negatives: Bool[Tensor, "B K"]
    negatives_back: Bool[Tensor, "B K"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderBatch:
    """A step of phase 0 (no users) or of phase A."""

    posts: PostBatch
    users: UserBatch | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphBatch:
    """A step of phase B: hidden edges and negatives as pairs of seeds; some nodes are masked.

    `users` are the nodes, seeds first; the step reads their modalities from the bank. Statistics
    are still raw.
    """

    users: Int[Tensor, " n"]
    statistics: Float[Tensor, "n F"]
    signature: Float[Tensor, "n S"]
    blocks: list[Block]
    masked: Bool[Tensor, " n"]
    u: Int[Tensor, " Q"]
    v: Int[Tensor, " Q"]
    connected: Float[Tensor, " Q"]


def encoder_batch(
    data: TrainingData,
    config: RunConfig,
    rng: np.random.Generator,
    *,
    posts: "PostPools",
    with_users: bool,
    shard: Shard | None = None,
) -> EncoderBatch:
    """Draw the posts, and for phase A the connected users, of one step, or a shard of them."""
    shard = shard or whole()
    return EncoderBatch(
        posts=post_batch(data, config, rng, posts, shard),
        users=user_batch(data, config, rng, shard) if with_users else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PostPools:
    """Posts to train on or held out: all with a caption, and those with an image as well."""

    captioned: NDArray[np.int64]
    paired: NDArray[np.int64]


def split_posts(data: TrainingData, *, held_out_share: float) -> tuple[PostPools, PostPools]:
    """(training, held out) pools. No training post has a held-out caption or image.

    A hash of the caption selects the pool, so all reposts are in the same one. A post with image
    is a training pair if neither its caption nor its image is held out, and a held-out pair if
    neither is in a training pair.
    """
    captions, images = (
        np.asarray(hashes) for hashes in (data.inputs.caption_hashes, data.inputs.image_hashes)
    )
    texts, paired = data.texts.posts, np.intersect1d(data.texts.posts, data.images.posts)
    caption_out = held_out(captions, held_out_share)
    training = paired[~caption_out[paired] & ~held_out(images[paired], held_out_share)]
    seen = np.isin(captions[paired], captions[training])
    seen |= np.isin(images[paired], images[training])
    return (
        PostPools(captioned=texts[~caption_out[texts]], paired=training),
        PostPools(captioned=texts[caption_out[texts]], paired=paired[~seen]),
    )


def held_out(hashes: NDArray[np.uint64], share: float) -> NDArray[np.bool_]:
    """Which contents are held out: a fixed share of the hash range."""
    out: NDArray[np.bool_] = (hashes >> np.uint64(32)) % np.uint64(1_000) < 1_000 * share
    return out


def post_batch(
    data: TrainingData,
    config: RunConfig,
    rng: np.random.Generator,
    posts: PostPools,
    shard: Shard | None = None,
) -> PostBatch:
    """Draw captions to mask and posts to align."""
    shard = shard or whole()
    (captioned,) = shard.of(chosen_of(posts.captioned), config.phases.num_lm_posts, rng)
    (paired,) = shard.of(chosen_of(posts.paired), config.phases.num_alignment_pairs, rng)
    tokens = token_rows(data.inputs, captioned)
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    corrupted, targets = mask_tokens(tokens, config.text, config.objectives.lm_mask_rate, generator)
    return PostBatch(
        lm_tokens=tokens,
        lm_corrupted=corrupted,
        lm_targets=targets,
        aligned_tokens=token_rows(data.inputs, paired),
        aligned_pixels=pixel_rows(data.inputs, paired),
        caption_hashes=torch.from_numpy(data.inputs.caption_hashes[paired].view(np.int64)),
        image_hashes=torch.from_numpy(data.inputs.image_hashes[paired].view(np.int64)),
    )


def user_batch(
    data: TrainingData, config: RunConfig, rng: np.random.Generator, shard: Shard | None = None
) -> UserBatch:
    """Draw distinct seeds that have a neighbour, one neighbour each, and negatives of the bank."""
    phases, shard = config.phases, shard or whole()
    sources, partners = shard.of(data.source.connected, phases.num_contrast_pairs, rng)
    users, local = np.unique(np.concatenate([sources, partners]), return_inverse=True)
    bank_users = choose_below(data.num_users, phases.num_bank_negatives, rng)
    texts, text_owners = data.texts.sample(users, phases.num_contrast_posts, rng)
    ascending = np.argsort(data.inputs.token_counts[texts], kind="stable")
    images, image_owners = data.images.sample(users, phases.num_contrast_posts, rng)
    among = negative_mask(data, sources, partners)
    return UserBatch(
        users=torch.from_numpy(users),
        tokens=token_groups(data.inputs, texts[ascending]),
        token_owners=torch.from_numpy(text_owners[ascending]),
        pixels=pixel_rows(data.inputs, images),
        pixel_owners=torch.from_numpy(image_owners),
        sources=torch.from_numpy(local[: len(sources)]),
        partners=torch.from_numpy(local[len(sources) :]),
        bank_users=torch.from_numpy(bank_users),
        negatives=torch.cat([among, negative_mask(data, sources, bank_users)], dim=1),
        negatives_back=torch.cat([among.T, negative_mask(data, partners, bank_users)], dim=1),
    )


def negative_mask(
    data: TrainingData, rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> Tensor:
    """Which (row, column) pairs may be contrasted, in either direction."""
    if not len(columns):  # no bank users, so nothing to ask a database
        return torch.zeros(len(rows), 0, dtype=torch.bool)
    u, v = np.repeat(rows, len(columns)), np.tile(columns, len(rows))
    allowed = data.source.allowed(u, v)
    if data.source.is_directed:
        allowed &= data.source.allowed(v, u)
    return torch.from_numpy(allowed.reshape(len(rows), len(columns)))


def graph_batch(
    data: TrainingData, config: RunConfig, rng: np.random.Generator, shard: Shard | None = None
) -> GraphBatch:
    """Draw edges and negatives, and sample the neighbourhood of their ends.

    No message passes between the two users of a pair, edge or negative.
    """
    source, objectives, shard = data.source, config.objectives, shard or whole()
    most = max(1, int(objectives.edge_mask_rate * source.num_edges))
    u, v = shard.of(source.edges, min(config.phases.num_edge_targets, most), rng)
    not_u, not_v = draw_negatives(source, u, v, rng, hard=objectives.hard_negatives)
    all_u, all_v = np.concatenate([u, not_u]), np.concatenate([v, not_v])
    seeds, local = np.unique(np.concatenate([all_u, all_v]), return_inverse=True)
    around = neighbourhood(
        source,
        seeds,
        config.graph.fan_outs,
        random_draw(rng),
        # Negatives too: a follow back that is visible only between negatives would leak the label.
        hidden_pairs=np.unique(pair_keys(all_u, all_v, data.num_users)),
    )
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    return GraphBatch(
        users=torch.from_numpy(around.users),
        statistics=statistics_rows(data, around.users),
        signature=signature_rows(data, config, around.users),
        blocks=blocks_of(around),
        masked=mask_nodes(len(around.users), config.objectives.node_mask_rate, generator),
        u=torch.from_numpy(local[: len(all_u)]),
        v=torch.from_numpy(local[len(all_u) :]),
        connected=torch.from_numpy((np.arange(len(all_u)) < len(u)).astype(np.float32)),
    )


def statistics_rows(data: TrainingData, users: NDArray[np.int64]) -> Tensor:
    """Raw statistics (n, F) of these users."""
    return torch.from_numpy(data.statistics[users])


def signature_rows(data: TrainingData, config: RunConfig, users: NDArray[np.int64]) -> Tensor:
    """Signatures (n, S) of these users."""
    return torch.from_numpy(signatures(data.user_keys[users], config.graph.signature_width))


def blocks_of(around: Neighbourhood) -> list[Block]:
    """The layers of a neighbourhood as blocks of tensors."""
    return [
        Block(
            num_targets=layer.num_targets,
            neighbours=[torch.from_numpy(each) for each in layer.neighbours],
            targets=[torch.from_numpy(each) for each in layer.targets],
        )
        for layer in around.layers
    ]


def token_rows(inputs: PostInputs, posts: NDArray[np.int64]) -> Tensor:
    """Tokens (C, T) of these posts, cut to the longest of them."""
    longest = int(inputs.token_counts[posts].max(initial=1))
    return torch.from_numpy(inputs.tokens[posts, :longest].astype(np.int64))


def token_groups(inputs: PostInputs, posts: NDArray[np.int64]) -> list[Tensor]:
    """Tokens of these posts, which are sorted by length, in up to MAX_GROUPS groups, in order."""
    num_groups = min(MAX_GROUPS, max(1, len(posts) // MIN_CAPTIONS_OF_GROUP))
    return [token_rows(inputs, group) for group in np.array_split(posts, num_groups)]


def pixel_rows(inputs: PostInputs, posts: NDArray[np.int64]) -> Tensor:
    """Pixels (M, 3, S, S) of these posts, which all have an image."""
    return torch.from_numpy(np.asarray(inputs.pixels[inputs.pixel_rows[posts]]))


def chosen_of(values: NDArray[np.int64]) -> Callable[[int, np.random.Generator], Arrays]:
    """A function that draws distinct values."""
    return lambda limit, rng: (choose(values, limit, rng),)


def choose(values: NDArray[np.int64], limit: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Up to `limit` distinct values in random order."""
    return values[choose_below(len(values), limit, rng)]
