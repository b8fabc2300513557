"""The fold of a directed pair: a hash of the pair decides whether its edge is held out.

A fold depends on the two ids alone, so the same edges are held out in every run, snapshot, sampler
and backend, whenever an edge arrives.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

NUM_FOLDS = 100

TEST_FOLDS = range(10)
"""Edges that the final evaluation scores; no choice is ever made on them."""

VALIDATION_FOLDS = range(10, 15)
"""Edges on which choices are made: early stopping, thresholds, options."""

HELD_OUT_FOLDS = range(15)
"""Edges that training never sees: the test folds and the validation folds."""


def fold(follower_id: str, followee_id: str) -> int:
    """The fold, 0 to 99, of the directed pair follower -> followee."""
    digest = blake2b(follower_id.encode() + b"\0" + followee_id.encode()).digest()
    return int.from_bytes(digest[:8], "big") % NUM_FOLDS


def folds_of_pairs(
    user_ids: Sequence[str],
    followers: NDArray[np.integer],
    followees: NDArray[np.integer],
) -> NDArray[np.uint8]:
    """The folds (E,) of many pairs, whose ends are indices into `user_ids`.

    Each pair costs one BLAKE2b, about a microsecond.
    """
    starts = [user_id.encode() + b"\0" for user_id in user_ids]
    ends = [user_id.encode() for user_id in user_ids]
    pairs = zip(followers.tolist(), followees.tolist(), strict=True)
    return _first_words(starts[u] + ends[v] for u, v in pairs)


def _first_words(messages: Iterable[bytes]) -> NDArray[np.uint8]:
    digests = b"".join([blake2b(message).digest()[:8] for message in messages])
    return (np.frombuffer(digests, dtype=">u8") % NUM_FOLDS).astype(np.uint8)
