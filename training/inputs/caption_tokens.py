"""Tokens of the captions of a snapshot, written once under one tokenizer.

P posts in the order of the snapshot, T tokens a post.
"""

import json
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from foundation.durable_files import whole_folder
from graphdb.store import GraphStore, Post
from training.networks.tokenizer import tokenizer_digest

PAGE = 4096


class PostsOfSnapshot(Protocol):
    """What post inputs read of a snapshot."""

    @property
    def graph_id(self) -> str:
        """The graph."""

    @property
    def version(self) -> int:
        """Its version."""

    @property
    def post_ids(self) -> Any:
        """Post ids, length P."""


def read_captions(store: GraphStore, snapshot: PostsOfSnapshot) -> list[str]:
    """Captions (P) of the posts of a snapshot; empty for a post that was deleted since."""
    return [post.caption if post else "" for page in pages(store, snapshot) for post in page]


def pages(store: GraphStore, snapshot: PostsOfSnapshot) -> Iterator[list[Post | None]]:
    """The posts of a snapshot in its order, None for a post that was deleted since."""
    for start in range(0, len(snapshot.post_ids), PAGE):
        post_ids = [str(post_id) for post_id in snapshot.post_ids[start : start + PAGE]]
        found = {post.post_id: post for post in store.posts(post_ids)}
        yield [found.get(post_id) for post_id in post_ids]


def prepare_tokens(
    store: GraphStore,
    snapshot: PostsOfSnapshot,
    folder: Path,
    tokenizer: Any,
    max_tokens: int,
    progress: Callable[[int, int], None],
) -> Path:
    """The folder with the tokens of a snapshot, written whole or not at all."""
    name = f"{snapshot.graph_id}-{snapshot.version}"
    path = folder / f"{tokenizer_digest(tokenizer)}-{max_tokens}" / name
    if not path.exists():
        with whole_folder(path) as staging:
            write_tokens(store, snapshot, staging, tokenizer, max_tokens, progress)
    return path


def write_tokens(
    store: GraphStore,
    snapshot: PostsOfSnapshot,
    folder: Path,
    tokenizer: Any,
    max_tokens: int,
    progress: Callable[[int, int], None],
) -> None:
    """Tokenise page by page into arrays on disk."""
    num_posts = len(snapshot.post_ids)
    tokens_PT = create(folder / "tokens.npy", (num_posts, max_tokens), np.int32)
    counts_P = create(folder / "token_counts.npy", (num_posts,), np.int32)
    hashes_P = create(folder / "caption_hashes.npy", (num_posts,), np.uint64)
    num_special = tokenizer.num_special_tokens_to_add()
    start = 0
    for page in pages(store, snapshot):
        captions = [post.caption if post else "" for post in page]
        encoded = tokenizer(
            captions,
            truncation=True,
            padding="max_length",
            max_length=max_tokens,
            split_special_tokens=True,
            return_tensors="np",
        )
        stop = start + len(page)
        tokens_PT[start:stop] = encoded["input_ids"]
        counts_P[start:stop] = encoded["attention_mask"].sum(axis=1)
        hashes_P[start:stop] = row_hashes(tokens_PT[start:stop])
        hashes_P[start:stop][counts_P[start:stop] <= num_special] = 0
        start = stop
        progress(stop, num_posts)
    about = {"pad_token_id": tokenizer.pad_token_id, "max_tokens": max_tokens}
    (folder / "tokens.json").write_text(json.dumps(about))


def row_hashes(tokens_PT: NDArray[np.int32]) -> NDArray[np.uint64]:
    """64-bit hashes (P,) of rows, never 0."""
    digests = b"".join(blake2b(row.tobytes(), digest_size=8).digest() for row in tokens_PT)
    return np.maximum(np.frombuffer(digests, np.uint64), np.uint64(1))


def create(path: Path, shape: tuple[int, ...], dtype: type[np.generic]) -> NDArray[Any]:
    """A zeroed array on disk, mapped to write."""
    if not shape[0]:
        np.save(path, np.zeros(shape, dtype))
        return np.zeros(shape, dtype)
    return np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
