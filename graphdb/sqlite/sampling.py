"""Neighbours at random, degrees and follows among users, from the embedded graph.

A user's neighbours are read whole and ordered at random; folds are hashes of two ids, so they are
computed in that order and no further than the fan-out asks for.
"""

import sqlite3
from collections.abc import Collection, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from graphdb.folds import fold
from graphdb.rules.follow_rows import KEY_BITS, KEY_MASK, Int64, turned
from graphdb.sampling.one_hop import ALL
from graphdb.sqlite.follows import live_among, pairs_from, pairs_to
from graphdb.sqlite.json_keys import json_keys
from graphdb.sqlite.users import FIND_USERS, SELECT_USER_NAMES
from graphdb.store import Relation

SPARE_NAMES = 8
"""Read beyond twice the fan-out, since some may be of a fold that is left out."""

SELECT_MENTION_ENDS = {
    "mentions": """
    SELECT DISTINCT mentions.user
    FROM posts CROSS JOIN mentions ON mentions.post = posts.key
    CROSS JOIN users ON users.key = mentions.user AND NOT users.is_stub
    WHERE posts.author = ?1 AND mentions.user <> ?1 ORDER BY mentions.user""",
    "mentioned_by": """
    SELECT DISTINCT posts.author
    FROM mentions CROSS JOIN posts ON posts.key = mentions.post
    WHERE mentions.user = ?1 AND posts.author <> ?1 ORDER BY posts.author""",
}


class Neighbourhoods:
    """The neighbours of users as one read transaction sees them."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        user_ids: Sequence[str],
        relation: Relation,
        without_folds: Collection[int],
    ) -> None:
        self.connection = connection
        self.relation = relation
        self.without_folds = frozenset(without_folds)
        rows = connection.execute(FIND_USERS, (json_keys(list(dict.fromkeys(user_ids))),))
        self.pairs = cache(self._pairs)
        self.keys = {user_id: key for user_id, key, is_stub in rows if not is_stub}

    def sample(self, user_id: str, fan_out: int, rng: np.random.Generator) -> list[str]:
        """Up to `fan_out` neighbours of one user in random order."""
        pairs = rng.permutation(self.pairs(user_id))
        limit = len(pairs) if fan_out == ALL else fan_out
        found: list[str] = []
        step = 2 * limit + SPARE_NAMES
        for start in range(0, len(pairs), step):
            if len(found) >= limit:
                break
            found += self._kept(user_id, pairs[start : start + step])
        return found[:limit]

    def degree(self, user_id: str) -> int:
        """Number of neighbours of one user."""
        pairs = self.pairs(user_id)
        return len(self._kept(user_id, pairs)) if self.without_folds else len(pairs)

    def _pairs(self, user_id: str) -> Int64:
        """Keys of the pairs between the user and each neighbour, as (follower, followee)."""
        key = self.keys.get(user_id)
        if key is None:
            return np.empty(0, dtype=np.int64)
        if self.relation in ("mentions", "mentioned_by"):
            rows = self.connection.execute(SELECT_MENTION_ENDS[self.relation], (key,))
            others = np.fromiter((other for (other,) in rows), np.int64)
            pairs: Int64 = (key << KEY_BITS) | others
            return pairs
        if self.relation == "followers":
            return live_among(self.connection, pairs_to(self.connection, key))
        followees = live_among(self.connection, pairs_from(self.connection, key))
        if self.relation == "followees":
            return followees
        if self.relation == "mutual":
            return turned(live_among(self.connection, turned(followees)))
        followers = live_among(self.connection, pairs_to(self.connection, key))
        return np.concatenate([followees, followers])

    def _kept(self, user_id: str, pairs: Int64) -> list[str]:
        """Names of the other ends, but of those that a fold leaves out."""
        own, followers, followees = self.keys[user_id], pairs >> KEY_BITS, pairs & KEY_MASK
        others = np.where(followers == own, followees, followers)
        keys = json_keys(np.unique(others).tolist())
        names = dict(self.connection.execute(SELECT_USER_NAMES, (keys,)))
        out = self.without_folds if self.relation not in ("mentions", "mentioned_by") else ()
        if not out:
            return [names[other] for other in others.tolist()]
        kept = []
        for other, follows in zip(others.tolist(), (followers == own).tolist(), strict=True):
            name = names[other]
            folds = [fold(user_id, name)] if follows else [fold(name, user_id)]
            if self.relation == "mutual":
                folds = [fold(user_id, name), fold(name, user_id)]
            if out.isdisjoint(folds):
                kept.append(name)
        return kept


def read_sample(
    connection: sqlite3.Connection,
    user_ids: Sequence[str],
    relation: Relation,
    fan_out: int,
    *,
    without_folds: Collection[int],
    seed: int,
) -> list[list[str]]:
    """Up to `fan_out` neighbours of each user, uniform without replacement."""
    rng = np.random.default_rng(seed)
    around = Neighbourhoods(connection, user_ids, relation, without_folds)
    return [around.sample(user_id, fan_out, rng) for user_id in user_ids]


def read_degrees(
    connection: sqlite3.Connection,
    user_ids: Sequence[str],
    relation: Relation,
    *,
    without_folds: Collection[int],
) -> NDArray[np.int64]:
    """Number of neighbours of each user."""
    around = Neighbourhoods(connection, user_ids, relation, without_folds)
    return np.array([around.degree(user_id) for user_id in user_ids], dtype=np.int64)


def read_follows_among(
    connection: sqlite3.Connection, follower_ids: Sequence[str], followee_ids: Sequence[str]
) -> NDArray[np.int64]:
    """(position of the follower, position of the followee) of each live follow, (F, 2)."""
    positions = {user_id: position for position, user_id in enumerate(followee_ids)}
    asked = json_keys(list(positions))
    columns = {
        key: positions[user_id] for user_id, key, *_ in connection.execute(FIND_USERS, (asked,))
    }
    around = Neighbourhoods(connection, follower_ids, "followees", ())
    found = [
        (row, columns[followee])
        for row, user_id in enumerate(follower_ids)
        for followee in (around.pairs(user_id) & KEY_MASK).tolist()
        if followee in columns
    ]
    return np.array(found, dtype=np.int64).reshape(-1, 2)
