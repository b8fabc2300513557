"""A network of any size, written as a snapshot and post inputs, as training maps them.

Users follow with heavy tails, posts belong to the first users after a shuffle, captions are random
words whose numbers are log-normal (median 14), images are noise: time and memory of training do
not depend on what they show. Seed 0.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.graph.sampling import heavy_tailed_follows
from foundation.image_report import ImageReport
from graphdb.adjacency import Adjacency, graph_of_follows
from graphdb.folds import folds_of_pairs
from graphdb.snapshot.files import seal, write_array, write_json
from graphdb.snapshot.id_column import IdColumn, id_keys
from training.inputs.post_inputs import PIXELS_VERSION, write_view
from training.inputs.row_file import RowFile
from training.mmga.config import RunConfig

GRAPH_ID = "made"
NUM_STATISTICS = 16
MEDIAN_WORDS = 14
MAX_BYTES_AT_ONCE = 1 << 26


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large a network is. `num_edges` are mutual follows, or with `directed` follows.

    The first `num_posters` users share the posts evenly and have labels; post i shows image i
    modulo `num_images`.
    """

    num_users: int
    num_posters: int
    num_posts: int
    num_images: int
    num_edges: int
    directed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeNetwork:
    """Where the files are."""

    folder: Path
    snapshot: Path
    post_inputs: Path

    @property
    def num_bytes(self) -> int:
        """Bytes on disk."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())


def write_network(folder: Path, size: Size, config: RunConfig) -> MadeNetwork:
    """Write the snapshot and the inputs that the encoders of `config` read."""
    rng = np.random.default_rng(0)
    snapshot = folder / "snapshots" / GRAPH_ID / "1"
    snapshot.mkdir(parents=True)
    write_graph(snapshot, size)
    write_users(snapshot, size, rng)
    facts = {"graph_id": GRAPH_ID, "version": 1, "commit_time": 1}
    seal(snapshot, facts)
    inputs = folder / "post_inputs"
    tokens = write_tokens(inputs, size, config, rng)
    pixels = write_pixels(inputs, size, config, rng)
    rows_P = (np.arange(size.num_posts) % size.num_images).astype(np.int32)
    report = ImageReport(num_ok=size.num_images, missing={}, pending={}, num_read=0)
    hashes = rng.integers(1, 2**63, size.num_images, dtype=np.uint64)
    view = write_view(inputs, tokens, pixels, rows_P, hashes[rows_P], report)
    return MadeNetwork(folder=folder, snapshot=snapshot, post_inputs=view)


def write_graph(folder: Path, size: Size) -> None:
    """Ids and follows."""
    user_ids = IdColumn.of(f"u{number:08d}" for number in range(size.num_users))
    keys = id_keys(user_ids)
    order = np.argsort(keys)
    write_ids(folder, "user_ids", user_ids)
    write_array(folder, "user_keys", keys)
    write_array(folder, "user_sorted_keys", keys[order])
    write_array(folder, "user_key_order", order.astype(np.int32))
    u, v = heavy_tailed_follows(size.num_users, size.num_edges)
    if not size.directed:
        pairs = np.unique(np.minimum(u, v) * size.num_users + np.maximum(u, v))
        low, high = np.divmod(pairs, size.num_users)
        u, v = np.concatenate([low, high]), np.concatenate([high, low])
    folds = folds_of_pairs(user_ids, u, v)
    graph = graph_of_follows(size.num_users, u, v, folds, keys)
    for name in ("followees", "followers", "mutual"):
        write_adjacency(folder, name, getattr(graph, name))


def write_adjacency(folder: Path, name: str, adjacency: Adjacency) -> None:
    """One way to see the follows."""
    write_array(folder, f"{name}_indptr", adjacency.indptr)
    write_array(folder, f"{name}_indices", adjacency.indices)
    write_array(folder, f"{name}_folds", adjacency.folds)
    if adjacency.reverse_folds is not None:
        write_array(folder, f"{name}_reverse_folds", adjacency.reverse_folds)


def write_ids(folder: Path, name: str, ids: IdColumn) -> None:
    """A column of ids."""
    write_array(folder, name, ids.text)
    write_array(folder, f"{name}_offsets", ids.offsets)


def write_users(folder: Path, size: Size, rng: np.random.Generator) -> None:
    """Statistics, which posts are whose, and labels."""
    shape = (size.num_users, NUM_STATISTICS)
    write_array(folder, "statistics", rng.lognormal(2.0, 2.0, shape).astype(np.float32))
    posters = np.sort(rng.permutation(size.num_users)[: size.num_posters])
    shares = np.diff(np.linspace(0, size.num_posts, size.num_posters + 1).astype(np.int64))
    counts = np.zeros(size.num_users, np.int64)
    counts[posters] = shares
    write_array(folder, "post_indptr", np.concatenate(([0], np.cumsum(counts))))
    write_ids(folder, "post_ids", IdColumn.of(f"p{number:08d}" for number in range(size.num_posts)))
    write_array(folder, "mentions", np.empty((0, 2), np.int32))
    labels = [[f"label {user % 10}"] for user in posters.tolist()]
    write_json(folder, "labels", {"topic": {"users": posters.tolist(), "labels": labels}})


def write_tokens(folder: Path, size: Size, config: RunConfig, rng: np.random.Generator) -> Path:
    """Captions of random words between [CLS] and [SEP]."""
    text = config.text
    place = folder / "tokens" / f"made-{text.max_tokens}" / f"{GRAPH_ID}-1"
    place.mkdir(parents=True)
    words_P = rng.lognormal(np.log(MEDIAN_WORDS), 0.8, size.num_posts).astype(np.int32)
    counts_P = np.clip(words_P, 1, text.max_tokens - 2) + 2
    tokens_PT = np.lib.format.open_memmap(
        place / "tokens.npy", mode="w+", dtype=np.int32, shape=(size.num_posts, text.max_tokens)
    )
    rows = MAX_BYTES_AT_ONCE // (4 * text.max_tokens)
    for start in range(0, size.num_posts, rows):
        counts = counts_P[start : start + rows, None]
        shape = (len(counts), text.max_tokens)
        ids = rng.integers(text.num_special, text.vocabulary_size, shape, dtype=np.int32)
        ids[np.arange(text.max_tokens) >= counts] = text.pad_id
        tokens_PT[start : start + rows] = ids
    tokens_PT.flush()
    np.save(place / "token_counts.npy", counts_P)
    np.save(place / "caption_hashes.npy", rng.integers(1, 2**63, size.num_posts, dtype=np.uint64))
    about = {"pad_token_id": text.pad_id, "max_tokens": text.max_tokens}
    (place / "tokens.json").write_text(json.dumps(about))
    return place


def write_pixels(folder: Path, size: Size, config: RunConfig, rng: np.random.Generator) -> RowFile:
    """Images of noise."""
    side = config.image.image_size
    pixels = RowFile(folder=folder / "pixels" / f"{side}-{PIXELS_VERSION}", shape=(3, side, side))
    pixels.folder.mkdir(parents=True)
    left = size.num_images * pixels.row_bytes
    with (pixels.folder / "rows").open("wb") as rows:
        while left:
            noise(min(left, MAX_BYTES_AT_ONCE), rng).tofile(rows)
            left -= min(left, MAX_BYTES_AT_ONCE)
    np.arange(size.num_images).astype(np.int64).tofile(pixels.folder / "numbers")
    return pixels


def noise(num_bytes: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Random bytes."""
    return rng.integers(0, 256, num_bytes, dtype=np.uint8)
