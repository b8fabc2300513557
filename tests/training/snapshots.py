"""Snapshots and post inputs in memory, from the arrays that a test names."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from foundation.image_report import ImageReport
from graphdb.adjacency import graph_of_follows
from graphdb.folds import folds_of_pairs
from graphdb.snapshot.id_column import IdColumn, IdIndex, id_keys
from graphdb.snapshot.snapshot import Snapshot, UserLabels
from graphdb.statistics import STATISTICS
from training.inputs.post_inputs import PostInputs

NOWHERE = Path("in-memory")
"""The path of what has no files, and so cannot be sent to another process."""


def build_snapshot(
    user_ids: Sequence[str],
    follows: tuple[np.ndarray, np.ndarray],
    *,
    statistics: np.ndarray | None = None,
    mentions: np.ndarray | None = None,
    posts_per_user: int = 0,
    labels: Mapping[str, UserLabels] | None = None,
) -> Snapshot:
    """A snapshot of follows (followers, followees); keys and folds follow from the ids."""
    num_users = len(user_ids)
    ids, keys = IdColumn.of(user_ids), id_keys(user_ids)
    if statistics is None:
        statistics = np.zeros((num_users, len(STATISTICS)))
    return Snapshot(
        path=NOWHERE,
        graph_id="in-memory",
        version=1,
        commit_time=1,
        graph=graph_of_follows(num_users, *follows, folds_of_pairs(user_ids, *follows), keys),
        user_ids=ids,
        user_index=IdIndex.of(ids),
        user_keys=keys,
        statistics=statistics.astype(np.float32),
        mentions=np.empty((0, 2), np.int32) if mentions is None else mentions.astype(np.int32),
        post_ids=IdColumn.of(f"post-{number}" for number in range(num_users * posts_per_user)),
        post_indptr=np.arange(num_users + 1, dtype=np.int64) * posts_per_user,
        labels=labels or {},
    )


def build_post_inputs(
    tokens: np.ndarray,
    pixels: np.ndarray,
    *,
    has_image: np.ndarray,
    has_text: np.ndarray,
    hashes: np.ndarray,
) -> PostInputs:
    """Inputs of P posts: `tokens` (P, T) padded with 0, `pixels` of those with an image.

    A post's contents are equal to no other's: `hashes` (P,) are those of the captions, the next
    number is that of the image.
    """
    return PostInputs(
        path=NOWHERE,
        tokens=tokens.astype(np.int32),
        token_counts=(tokens != 0).sum(1, dtype=np.int32),
        caption_hashes=np.where(has_text, hashes, 0).astype(np.uint64),
        pixel_rows=np.where(has_image, np.cumsum(has_image) - 1, -1).astype(np.int32),
        pixels=pixels.astype(np.uint8),
        image_hashes=np.where(has_image, hashes + np.uint64(1), 0).astype(np.uint64),
        pad_token_id=0,
        images=ImageReport(num_ok=len(pixels), missing={}, pending={}, num_read=0),
    )
