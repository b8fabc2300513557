"""Rows of the embedded graph as the records of the contract."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from graphdb.digest import StateDigest, json_id
from graphdb.facts import SubjectKind
from graphdb.rules.follow_rows import KEY_BITS, KEY_MASK, Int64, turned
from graphdb.sqlite.follows import live_among, pairs_from, pairs_to
from graphdb.sqlite.json_keys import json_keys
from graphdb.sqlite.users import FIND_USERS, SELECT_USER_NAMES
from graphdb.store import Direction, Follows, GraphCounts, Label, Post, Profile

_PAIR_AND_SINCE = np.dtype([("pair", np.int64), ("since", np.int64)])

SELECT_LIVE_FOLLOWS = """
    SELECT pair, stamp >> 1 FROM follows WHERE NOT stamp & 1 UNION ALL
    SELECT pair, stamp >> 1 FROM recent_follows WHERE NOT stamp & 1"""
SELECT_EXISTING_USERS = "SELECT key, user_id FROM users WHERE NOT is_stub ORDER BY user_id"
PAGE_USERS = """
    SELECT user_id FROM users WHERE NOT is_stub AND (?1 IS NULL OR user_id > ?1)
    ORDER BY user_id LIMIT ?2"""
COUNT_USERS = "SELECT count(*) FROM users WHERE NOT is_stub"
COUNT_POSTS = "SELECT count(*) FROM posts WHERE NOT is_stub"
_PROFILE = """user_id, time, username, full_name, biography, follower_count, following_count,
        post_count, is_verified, created_at"""
SELECT_PROFILES = f"""
    SELECT {_PROFILE}
    FROM json_each(?) AS asked CROSS JOIN users ON user_id = asked.value AND NOT is_stub
    LEFT JOIN profiles ON user = users.key ORDER BY asked.key"""
SELECT_ALL_PROFILES = f"""
    SELECT {_PROFILE} FROM users LEFT JOIN profiles ON user = users.key WHERE NOT is_stub"""
_POST = """post_id, author.user_id, time, caption, image, hashtags,
        (SELECT json_group_array(mentioned.user_id)
         FROM mentions CROSS JOIN users AS mentioned ON mentioned.key = mentions.user
         WHERE mentions.post = posts.key),
        like_count, comment_count"""
SELECT_POSTS = f"""
    SELECT {_POST}
    FROM json_each(?) AS asked CROSS JOIN posts ON post_id = asked.value AND NOT posts.is_stub
    CROSS JOIN users AS author ON author.key = posts.author ORDER BY asked.key"""
SELECT_POSTS_OF = f"""
    SELECT {_POST}
    FROM json_each(?) AS asked CROSS JOIN users AS author ON author.user_id = asked.value
    CROSS JOIN posts ON posts.author = author.key
    ORDER BY asked.key, time DESC, post_id"""
SELECT_ALL_POSTS = f"""
    SELECT {_POST} FROM posts CROSS JOIN users AS author ON author.key = posts.author
    WHERE NOT posts.is_stub"""
_LABEL_OF = {
    "user": ("users", "user_id"),
    "post": ("posts", "post_id"),
}
SELECT_LABELS = {
    kind: f"""
    SELECT '{kind}', {identity}, task, annotator, labels, stamp >> 1
    FROM labels CROSS JOIN {table} ON {table}.key = subject AND NOT is_stub
    WHERE subject_kind = '{kind}' AND NOT stamp & 1 AND (?1 IS NULL OR task = ?1)
    ORDER BY {identity}, task, annotator"""
    for kind, (table, identity) in _LABEL_OF.items()
}
SELECT_LABELS_OF = {
    kind: f"""
    SELECT '{kind}', {identity}, task, annotator, labels, stamp >> 1
    FROM {table} CROSS JOIN labels ON subject_kind = '{kind}' AND subject = {table}.key
    WHERE {identity} IN (SELECT value FROM json_each(?2)) AND NOT is_stub
        AND NOT stamp & 1 AND (?1 IS NULL OR task = ?1)
    ORDER BY {identity}, task, annotator"""
    for kind, (table, identity) in _LABEL_OF.items()
}


def read_profiles(connection: sqlite3.Connection, user_ids: Sequence[str]) -> list[Profile]:
    """Those of the users that exist, in the order asked."""
    rows = connection.execute(SELECT_PROFILES, (json_keys(user_ids),))
    return list(map(_profile, rows))


def read_posts(connection: sqlite3.Connection, post_ids: Sequence[str]) -> list[Post]:
    """Those of the posts that are live, in the order asked."""
    return list(map(_post, connection.execute(SELECT_POSTS, (json_keys(post_ids),))))


def read_posts_of(connection: sqlite3.Connection, user_ids: Sequence[str]) -> list[Post]:
    """Live posts of users in the order asked, newest first."""
    return list(map(_post, connection.execute(SELECT_POSTS_OF, (json_keys(user_ids),))))


def read_labels(
    connection: sqlite3.Connection,
    subject_kind: SubjectKind,
    task: str | None = None,
    subject_ids: Sequence[str] | None = None,
) -> Iterator[Label]:
    """Standing labels in ascending order of (subject, task, annotator)."""
    if subject_ids is None:
        rows = connection.execute(SELECT_LABELS[subject_kind], (task,))
    else:
        rows = connection.execute(SELECT_LABELS_OF[subject_kind], (task, json_keys(subject_ids)))
    return map(_label, rows)


def page_user_ids(connection: sqlite3.Connection, after: str | None, limit: int) -> list[str]:
    """A page of existing users in ascending order of the id's UTF-8 bytes."""
    return [user_id for (user_id,) in connection.execute(PAGE_USERS, (after, limit))]


def read_counts(connection: sqlite3.Connection) -> GraphCounts:
    """Sizes of the graph."""
    pairs = _live_follows(connection)["pair"]
    num_users = connection.execute(COUNT_USERS).fetchone()[0]
    num_posts = connection.execute(COUNT_POSTS).fetchone()[0]
    both = np.intersect1d(pairs, turned(pairs), assume_unique=True)
    return GraphCounts(
        users=num_users, posts=num_posts, follows=len(pairs), mutual_follows=len(both) // 2
    )


def read_follows(connection: sqlite3.Connection) -> Follows:
    """All live follows, ascending by (follower, followee), ends as indices of existing users."""
    users = connection.execute(SELECT_EXISTING_USERS).fetchall()
    keys = np.array([key for key, _ in users], dtype=np.int64)
    index_of_key = np.full(int(keys.max(initial=0)) + 1, -1, dtype=np.int64)
    index_of_key[keys] = np.arange(len(keys))
    rows = _live_follows(connection)
    followers = index_of_key[rows["pair"] >> KEY_BITS]
    followees = index_of_key[rows["pair"] & KEY_MASK]
    order = np.lexsort((followees, followers))
    return Follows(
        user_ids=[user_id for _, user_id in users],
        followers=followers[order],
        followees=followees[order],
        since=rows["since"][order],
    )


def _live_follows(connection: sqlite3.Connection) -> np.ndarray[Any, np.dtype[np.void]]:
    return np.fromiter(connection.execute(SELECT_LIVE_FOLLOWS), dtype=_PAIR_AND_SINCE)


def read_neighbours(
    connection: sqlite3.Connection, user_id: str, direction: Direction
) -> list[str]:
    """Users at the other end of the live follows of one user, ascending."""
    found = connection.execute(FIND_USERS, (json_keys([user_id]),)).fetchone()
    if found is None:
        return []
    others = _other_ends(connection, found[1], direction)
    names = connection.execute(SELECT_USER_NAMES, (json_keys(others.tolist()),))
    return sorted(name for _, name in names)


def _other_ends(connection: sqlite3.Connection, key: int, direction: Direction) -> Int64:
    if direction == "followers":
        followers: Int64 = live_among(connection, pairs_to(connection, key)) >> KEY_BITS
        return followers
    pairs = live_among(connection, pairs_from(connection, key))
    if direction == "mutual":
        pairs = turned(live_among(connection, turned(pairs)))
    others: Int64 = pairs & KEY_MASK
    return others


def state_digest(connection: sqlite3.Connection) -> str:
    """The digest of the whole state, streamed."""
    digest = StateDigest()
    digest.add_profiles(map(_profile, connection.execute(SELECT_ALL_PROFILES)))
    digest.add_posts(map(_post, connection.execute(SELECT_ALL_POSTS)))
    digest.add_follows(_follow_items(connection))
    digest.add_labels(read_labels(connection, "user"))
    digest.add_labels(read_labels(connection, "post"))
    return digest.hexdigest()


def _follow_items(connection: sqlite3.Connection) -> Iterable[tuple[str, str, int]]:
    users = connection.execute(SELECT_EXISTING_USERS)
    names = {key: json_id(user_id) for key, user_id in users}
    for pair, since in connection.execute(SELECT_LIVE_FOLLOWS):
        yield names[pair >> KEY_BITS], names[pair & KEY_MASK], since


def _profile(row: tuple[Any, ...]) -> Profile:
    is_verified = row[8]
    return Profile(
        user_id=row[0],
        time=row[1],
        username=row[2],
        full_name=row[3],
        biography=row[4],
        follower_count=row[5],
        following_count=row[6],
        post_count=row[7],
        is_verified=None if is_verified is None else bool(is_verified),
        created_at=row[9],
    )


def _post(row: tuple[Any, ...]) -> Post:
    return Post(
        post_id=row[0],
        user_id=row[1],
        time=row[2],
        caption=row[3],
        image=row[4],
        hashtags=tuple(json.loads(row[5])),
        mentions=tuple(sorted(json.loads(row[6]))),
        like_count=row[7],
        comment_count=row[8],
    )


def _label(row: tuple[Any, ...]) -> Label:
    subject_kind, subject_id, task, annotator, labels, time = row
    return Label(
        subject_kind=subject_kind,
        subject_id=subject_id,
        task=task,
        annotator=annotator,
        labels=tuple(json.loads(labels)),
        time=time,
    )
