"""The newest-wins rule of follows on whole columns: pure functions of arrays.

A row is a pair of users with the winning fact's (stamp, tie) and `created`, the greatest time of
any `follow.created` of the pair, which proves that both users existed even when the pair was
unfollowed since. Legend: F facts of a batch, P pairs.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graphdb.rules.tombstones import NEVER

Int64 = NDArray[np.int64]

ABSENT = -1
KEY_BITS = 32
KEY_MASK = 2**KEY_BITS - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowRows:
    """P rows in ascending order of their unique pair."""

    pairs: Int64
    stamps: Int64
    ties: Int64
    created: Int64

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def live(self) -> NDArray[np.bool_]:
        """Which of the pairs are follows, not unfollows."""
        live: NDArray[np.bool_] = (self.stamps & 1) == 0
        return live

    def take(self, chosen: NDArray[np.bool_]) -> "FollowRows":
        """Some of the rows."""
        return FollowRows(
            pairs=self.pairs[chosen],
            stamps=self.stamps[chosen],
            ties=self.ties[chosen],
            created=self.created[chosen],
        )


def pair_of(followers: Int64, followees: Int64) -> Int64:
    """Two users' keys as one integer, ordered by the first."""
    return (followers << KEY_BITS) | followees


def turned(pairs: Int64) -> Int64:
    """The same pairs with their ends exchanged."""
    exchanged: Int64 = ((pairs & KEY_MASK) << KEY_BITS) | (pairs >> KEY_BITS)
    return exchanged


def newest(pairs_F: Int64, stamps_F: Int64, ties_F: Int64) -> tuple[FollowRows, Int64]:
    """One row a pair of the batch, and the index of the fact that won it."""
    order = np.lexsort((ties_F, stamps_F, pairs_F))
    pairs = pairs_F[order]
    starts = np.flatnonzero(np.append(True, pairs[1:] != pairs[:-1]))
    winners = order[np.append(starts[1:], len(order)) - 1]
    stamps = stamps_F[order]
    times_created = np.where(stamps & 1, NEVER, stamps >> 1)
    rows = FollowRows(
        pairs=pairs_F[winners],
        stamps=stamps_F[winners],
        ties=ties_F[winners],
        created=np.maximum.reduceat(times_created, starts),
    )
    return rows, winners


def merge(
    standing: FollowRows, incoming: FollowRows
) -> tuple[FollowRows, NDArray[np.bool_], NDArray[np.bool_]]:
    """Standing rows (absent: stamp -1) against incoming rows of the same pairs.

    Returns the merged rows, where the incoming fact won, and where the row is to be rewritten: a
    lost `follow.created` may still be the newest of a pair that is unfollowed.
    """
    won = (incoming.stamps > standing.stamps) | (
        (incoming.stamps == standing.stamps) & (incoming.ties > standing.ties)
    )
    merged = FollowRows(
        pairs=incoming.pairs,
        stamps=np.where(won, incoming.stamps, standing.stamps),
        ties=np.where(won, incoming.ties, standing.ties),
        created=np.maximum(incoming.created, standing.created),
    )
    rewritten = won | (~merged.live & (merged.created > standing.created))
    return merged, won, rewritten
