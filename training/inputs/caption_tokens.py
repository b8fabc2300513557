"""Tokens of pinned captions, written once under one tokenizer.

P posts in the order of the snapshot, T tokens a post.
"""

import json
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foundation.durable_files import whole_folder
from training.inputs.captions import PinnedTexts, TextColumn
from training.networks.tokenizer import tokenizer_digest


def prepare_tokens(
    texts: PinnedTexts,
    folder: Path,
    tokenizer: Any,
    max_tokens: int,
    progress: Callable[[int, int], None],
) -> Path:
    """The folder with the tokens of the captions, written whole or not at all."""
    path = folder / f"{tokenizer_digest(tokenizer)}-{max_tokens}" / texts.posts_digest
    if not path.exists():
        with whole_folder(path) as staging:
            write_tokens(texts.captions, staging, tokenizer, max_tokens, progress)
    return path


def write_tokens(
    captions: TextColumn,
    folder: Path,
    tokenizer: Any,
    max_tokens: int,
    progress: Callable[[int, int], None],
) -> None:
    """Tokenise page by page into arrays on disk."""
    num_posts = len(captions)
    tokens_PT = create(folder / "tokens.npy", (num_posts, max_tokens), np.int32)
    counts_P = create(folder / "token_counts.npy", (num_posts,), np.int32)
    hashes_P = create(folder / "caption_hashes.npy", (num_posts,), np.uint64)
    num_special = tokenizer.num_special_tokens_to_add()
    start = 0
    for page in captions.pages():
        encoded = tokenizer(
            page,
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
