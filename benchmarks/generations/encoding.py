"""R^G of all users, layer by layer on one core, beside the expansion of each neighbourhood.

Input: users who follow with heavy tails, about 33 follows a user, and vectors of images and texts
that are there already. Recipe `tiny` with its fan-outs (64, 64) at its initial weights, all follows
read. The rival encodes one block of 512 users and is extrapolated to all of them; its vectors have
to be those that ours gives these users.

Time per user should not grow with the graph: that of ten times as many users is measured against
that of the smaller graph in turns. Every network is encoded in a fresh process.
"""

import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.measure import Row
from benchmarks.network.made_network import MadeNetwork, Size, write_network
from benchmarks.rivals.seed_wise import SEEDS, seed_wise
from graphdb.snapshot.snapshot import open_snapshot
from training.inputs.post_inputs import open_post_inputs
from training.mmga.layer_wise import LayerEncoder
from training.mmga.recipes import recipe
from training.mmga.trainer import initial_model
from training.mmga.training_data import training_data
from training.mmga.user_vectors import DEFAULT, PostVectors
from training.sampling.snapshot_source import SnapshotSource

FOLLOWS_PER_USER = 100 / 3
NUM_USERS = 60_000
GROWING = (20_000, 200_000)
NUM_ROUNDS = 3
MAX_SECONDS = 60.0
MAX_GROWTH = 1.3
MAX_DIFFERENCE = 1e-6

QUICK = {"num_users": 600, "growing": (300, 900), "rounds": 1, "num_seeds": 100}


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """Seconds of all users, and of some of them by the rival, with the largest difference."""

    seconds: float
    rival_seconds: float = 0.0
    difference: float = 0.0


def run(
    *,
    num_users: int = NUM_USERS,
    growing: tuple[int, int] = GROWING,
    rounds: int = NUM_ROUNDS,
    num_seeds: int = SEEDS,
) -> list[Row]:
    """Time of one size beside the rival, the difference of vectors, and growth."""
    with tempfile.TemporaryDirectory() as folder:
        one, small, large = (
            write_network(Path(folder) / str(number), size_of(number), recipe("tiny"))
            for number in (num_users, *growing)
        )
        encoded = [fresh(one, num_seeds if turn == 0 else 0) for turn in range(rounds)]
        turns = [(fresh(small).seconds, fresh(large).seconds) for _ in range(rounds)]
    return [*against_rival(num_users, num_seeds, encoded), growth(growing, turns)]


def size_of(num_users: int) -> Size:
    """A network whose posts are not read."""
    return Size(
        num_users=num_users,
        num_posters=1,
        num_posts=1,
        num_images=1,
        num_edges=round(num_users * FOLLOWS_PER_USER),
        directed=True,
    )


def fresh(network: MadeNetwork, num_seeds: int = 0) -> Encoded:
    """Encode in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(encode, network, num_seeds).result()


def encode(network: MadeNetwork, num_seeds: int) -> Encoded:
    """Encode all users, then `num_seeds` of them as the rival does."""
    torch.set_num_threads(1)
    config = recipe("tiny")
    snapshot = open_snapshot(network.snapshot, verify=False)
    data = training_data(snapshot, open_post_inputs(network.post_inputs), config.graph.edges)
    model = initial_model(config, data, 0)
    known = made_vectors(data.num_users, config.image.width, config.text.width)
    source = SnapshotSource(snapshot, config.graph.edges, without_folds=())
    started = time.perf_counter()
    ours = LayerEncoder(
        model=model, data=data, known=known, source=source, salt=b"g1", chunks=DEFAULT
    ).encode()
    ended = time.perf_counter()
    if not num_seeds:
        return Encoded(seconds=ended - started)
    seeds = np.arange(num_seeds)
    theirs = seed_wise(model, data, known, source, users=seeds, salt=b"g1")
    return Encoded(
        seconds=ended - started,
        rival_seconds=time.perf_counter() - ended,
        difference=float(np.abs(ours[seeds] - theirs).max()),
    )


def made_vectors(num_users: int, image_width: int, text_width: int) -> PostVectors:
    """Random vectors; one user in ten has no image, another one no text."""
    rng = np.random.default_rng(0)
    numbers = np.arange(num_users)
    has_image, has_text = numbers % 10 != 0, numbers % 10 != 1

    def rows(width: int, has: NDArray[np.bool_]) -> NDArray[np.float32]:
        return rng.standard_normal((num_users, width), np.float32) * has[:, None]

    return PostVectors(
        image=rows(image_width, has_image),
        text=rows(text_width, has_text),
        has_image=has_image,
        has_text=has_text,
    )


def against_rival(num_users: int, num_seeds: int, encoded: Sequence[Encoded]) -> list[Row]:
    """Seconds of all users, and the difference from the rival's vectors."""
    first = encoded[0]
    num_follows = size_of(num_users).num_edges
    return [
        Row(
            name=f"generations: encoding {num_users:,} users, {num_follows:,} follows, one core",
            unit="s",
            ours=statistics.median(each.seconds for each in encoded),
            rival_name=f"seed by seed, from {num_seeds} users",
            rival=first.rival_seconds * num_users / num_seeds,
            rounds=len(encoded),
            better="lower",
            bar=MAX_SECONDS,
        ),
        Row(
            name="generations: encoding, largest difference from seed by seed",
            unit="",
            ours=first.difference,
            better="lower",
            bar=MAX_DIFFERENCE,
        ),
    ]


def growth(sizes: tuple[int, int], turns: Sequence[tuple[float, float]]) -> Row:
    """Time per user of the larger graph against the smaller one, turn by turn."""
    small, large = sizes
    return Row(
        name=f"generations: encoding, time per user, {large:,} users",
        unit="us",
        ours=1e6 * statistics.median(seconds for _, seconds in turns) / large,
        rival_name=f"{small:,} users",
        rival=1e6 * statistics.median(seconds for seconds, _ in turns) / small,
        ratio=statistics.median((after / large) / (before / small) for before, after in turns),
        rounds=len(turns),
        better="lower",
        bar=MAX_GROWTH,
    )
