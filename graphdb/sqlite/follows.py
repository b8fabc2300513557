"""Follows: many a second, so in columns from the batch to the table."""

import sqlite3
from collections.abc import Collection, Iterable

import numpy as np

from graphdb.facts import FollowColumns
from graphdb.rules.follow_rows import (
    ABSENT,
    KEY_BITS,
    KEY_MASK,
    FollowRows,
    Int64,
    merge,
    newest,
    pair_of,
    turned,
)
from graphdb.rules.stamps import stamp, stamps
from graphdb.rules.tombstones import NEVER
from graphdb.rules.void_follows import ends_that_exist, without_void
from graphdb.sqlite.json_keys import json_keys
from graphdb.sqlite.users import Users
from graphdb.sqlite.write import Write

MAX_RECENT_FOLLOWS = 200_000
FOLLOWS_A_MERGE = 10_000

_MAIN, _RECENT = 0, 1

SELECT_STANDING_FOLLOWS = """
    SELECT pair, stamp, tie, coalesce(created, -1), 0
    FROM json_each(?1) AS asked CROSS JOIN follows ON pair = asked.value
    UNION ALL
    SELECT pair, stamp, tie, coalesce(created, -1), 1
    FROM json_each(?1) AS asked CROSS JOIN recent_follows ON pair = asked.value"""
WRITE_FOLLOW = "INSERT OR REPLACE INTO follows VALUES (?, ?, ?, nullif(?, -1))"
WRITE_RECENT_FOLLOW = "INSERT OR REPLACE INTO recent_follows VALUES (?, ?, ?, nullif(?, -1))"
INSERT_RECENT_FOLLOWER = "INSERT INTO recent_followers VALUES (?)"
COUNT_RECENT_FOLLOWS = "SELECT count(*) FROM recent_follows"
MERGE_LEVELS = {
    recent: (
        f"SELECT pair FROM {recent} ORDER BY pair LIMIT 1 OFFSET ?",
        f"INSERT INTO {level} SELECT * FROM {recent} WHERE pair <= ? ORDER BY pair",
        f"DELETE FROM {recent} WHERE pair <= ?",
    )
    for recent, level in (("recent_follows", "follows"), ("recent_followers", "followers"))
}
DELETE_FOLLOW = (
    "DELETE FROM follows WHERE pair = ?",
    "DELETE FROM recent_follows WHERE pair = ?",
)
DELETE_FOLLOWER = (
    "DELETE FROM followers WHERE pair = ?",
    "DELETE FROM recent_followers WHERE pair = ?",
)
SELECT_FOLLOWEE_PAIRS = """
    SELECT pair FROM follows WHERE pair BETWEEN ?1 AND ?2 UNION ALL
    SELECT pair FROM recent_follows WHERE pair BETWEEN ?1 AND ?2"""
SELECT_FOLLOWER_PAIRS = """
    SELECT pair FROM followers WHERE pair BETWEEN ?1 AND ?2 UNION ALL
    SELECT pair FROM recent_followers WHERE pair BETWEEN ?1 AND ?2"""
# Follows and unfollows with one user at either end; of the four ways back, one finds a pair.
_FOLLOWS_AT = " UNION ALL ".join(
    [
        f"SELECT pair, stamp, created FROM {level} WHERE pair BETWEEN ?1 AND ?2"
        for level in ("follows", "recent_follows")
    ]
    + [
        f"""SELECT forward.pair, stamp, created
        FROM {turned} AS turned CROSS JOIN {level} AS forward
        ON forward.pair = ((turned.pair & 0xffffffff) << 32) | (turned.pair >> 32)
        WHERE turned.pair BETWEEN ?1 AND ?2"""
        for turned in ("followers", "recent_followers")
        for level in ("follows", "recent_follows")
    ]
)
SELECT_VOID_PAIRS = f"SELECT pair FROM ({_FOLLOWS_AT}) WHERE stamp <= ?3 ORDER BY pair"
SELECT_FOLLOW_EVIDENCE = f"""
    SELECT max(CASE WHEN stamp & 1 THEN coalesce(created, -1) ELSE stamp >> 1 END), count(*)
    FROM ({_FOLLOWS_AT})"""


def apply_follows(write: Write, columns: FollowColumns) -> None:
    """Merge a batch's follows and unfollows into the graph."""
    if not len(columns):
        return
    users = write.users
    user_ids = {*columns.follower_ids, *columns.followee_ids}
    users.load(user_ids)
    if not users.none_deleted(user_ids):
        columns, evidence = without_void(columns, users.deleted_at)
        users.admit(existing=evidence.keys())
        users.witness((users.keys[user_id], time) for user_id, time in evidence.items())
        user_ids = {*columns.follower_ids, *columns.followee_ids}
        if not len(columns):
            return
    _admit_ends(users, columns, user_ids)
    incoming, winners = newest(
        pair_of(_keys(users, columns.follower_ids), _keys(users, columns.followee_ids)),
        stamps(columns.times, columns.live),
        np.array(columns.ties, dtype=np.int64),
    )
    standing, levels = _standing(write.connection, incoming.pairs)
    merged, won, rewritten = merge(standing, incoming)
    _write_rows(write.connection, merged, levels, rewritten)
    _report(write, columns, winners[won].tolist())


def _admit_ends(users: Users, columns: FollowColumns, user_ids: Collection[str]) -> None:
    """Both ends of a follow exist; those of an unfollow may be stubs."""
    if all(columns.live):
        users.admit(existing=user_ids)
        return
    users.admit(existing=ends_that_exist(columns), mentioned=user_ids)


def _keys(users: Users, user_ids: list[str]) -> Int64:
    return np.array(list(map(users.keys.__getitem__, user_ids)), dtype=np.int64)


def _standing(connection: sqlite3.Connection, pairs: Int64) -> tuple[FollowRows, Int64]:
    """Rows of these ascending pairs (absent: stamp -1), and the level in which each stands."""
    found = connection.execute(SELECT_STANDING_FOLLOWS, (json_keys(pairs.tolist()),)).fetchall()
    table = np.full((len(pairs), 4), ABSENT, dtype=np.int64)
    if found:
        rows = np.array(found, dtype=np.int64)
        table[np.searchsorted(pairs, rows[:, 0])] = rows[:, 1:]
    orders, ties, created, levels = table.T
    created = np.where((orders >= 0) & ((orders & 1) == 0), orders >> 1, created)
    return FollowRows(pairs=pairs, stamps=orders, ties=ties, created=created), levels


def _write_rows(
    connection: sqlite3.Connection,
    rows: FollowRows,
    levels: Int64,
    rewritten: np.ndarray[tuple[int], np.dtype[np.bool_]],
) -> None:
    """Rewrite rows where they stand; new ones go to the recent level."""
    for statement, chosen in (
        (WRITE_FOLLOW, rewritten & (levels == _MAIN)),
        (WRITE_RECENT_FOLLOW, rewritten & (levels != _MAIN)),
    ):
        connection.executemany(statement, _stored(rows.take(chosen)))
    new = np.sort(turned(rows.pairs[rewritten & (levels == ABSENT)]))
    connection.executemany(INSERT_RECENT_FOLLOWER, zip(new.tolist(), strict=True))


def _stored(rows: FollowRows) -> Iterable[tuple[int, int, int, int]]:
    """Rows as tuples for the table, which keeps `created` of unfollowed pairs alone."""
    created = np.where(rows.live, NEVER, rows.created)
    return zip(
        rows.pairs.tolist(),
        rows.stamps.tolist(),
        rows.ties.tolist(),
        created.tolist(),
        strict=True,
    )


def _report(write: Write, columns: FollowColumns, winners: list[int]) -> None:
    write.num_applied += len(winners)
    write.draft.add_follows(
        [columns.follower_ids[i] for i in winners],
        [columns.followee_ids[i] for i in winners],
        [columns.live[i] for i in winners],
    )


def merge_recent(connection: sqlite3.Connection) -> None:
    """Move one slice of recent follows, in the order of their pairs, to the main level."""
    for bound, insert, delete in MERGE_LEVELS.values():
        row = connection.execute(bound, (FOLLOWS_A_MERGE - 1,)).fetchone()
        last = row[0] if row else 2**63 - 1
        connection.execute(insert, (last,))
        connection.execute(delete, (last,))


def count_recent(connection: sqlite3.Connection) -> int:
    """Rows that wait in the recent level."""
    count: int = connection.execute(COUNT_RECENT_FOLLOWS).fetchone()[0]
    return count


def pairs_from(connection: sqlite3.Connection, key: int) -> Int64:
    """Pairs, live or not, whose follower is one user, ascending."""
    return _pairs_in_range(connection, SELECT_FOLLOWEE_PAIRS, key)


def pairs_to(connection: sqlite3.Connection, key: int) -> Int64:
    """Pairs, live or not, whose followee is one user, ascending."""
    return turned(_pairs_in_range(connection, SELECT_FOLLOWER_PAIRS, key))


def _pairs_in_range(connection: sqlite3.Connection, statement: str, key: int) -> Int64:
    rows = connection.execute(statement, _range(key))
    return np.sort(np.fromiter((pair for (pair,) in rows), np.int64))


def _range(key: int) -> tuple[int, int]:
    """The first and the last pair that begin with one user."""
    return key << KEY_BITS, (key << KEY_BITS) | KEY_MASK


def live_among(connection: sqlite3.Connection, pairs: Int64) -> Int64:
    """Those of these ascending pairs that are live follows."""
    standing, _ = _standing(connection, np.sort(pairs))
    return standing.pairs[standing.live]


def void_pairs(connection: sqlite3.Connection, key: int, time: int) -> Int64:
    """Pairs with one user at either end that a deletion of that user voids, ascending."""
    rows = connection.execute(SELECT_VOID_PAIRS, (*_range(key), stamp(time, is_deletion=True)))
    return np.fromiter((pair for (pair,) in rows), np.int64)


def void_follows(write: Write, key: int, pairs: Int64, time: int) -> None:
    """Delete what is known of these pairs of one user up to a time; the other end existed."""
    standing, _ = _standing(write.connection, pairs)
    newest_void = stamp(time, is_deletion=True)
    void = standing.take((standing.stamps >= 0) & (standing.stamps <= newest_void))
    if not len(void):
        return
    for statement in DELETE_FOLLOW:
        write.connection.executemany(statement, zip(void.pairs.tolist(), strict=True))
    for statement in DELETE_FOLLOWER:
        write.connection.executemany(statement, zip(turned(void.pairs).tolist(), strict=True))
    followers, followees = void.pairs >> KEY_BITS, void.pairs & KEY_MASK
    names = write.users.names({*followers.tolist(), *followees.tolist()})
    others = np.where(followers == key, followees, followers).tolist()
    write.users.witness(zip(others, void.created.tolist(), strict=True))
    live = void.live
    write.draft.add_follows(
        map(names.__getitem__, followers[live].tolist()),
        map(names.__getitem__, followees[live].tolist()),
        [False] * int(live.sum()),
    )


def follow_evidence(connection: sqlite3.Connection, key: int) -> tuple[int, bool]:
    """The newest `follow.created` at either end of a user, and whether any row names the user."""
    newest_created, count = connection.execute(SELECT_FOLLOW_EVIDENCE, _range(key)).fetchone()
    return (newest_created, True) if count else (NEVER, False)
