"""What is remembered of deleted users and posts: keyed hashes of their ids, and times."""

import sqlite3
from collections.abc import Iterable

from graphdb.rules.tombstones import hash_of

HAVE_TOMBSTONES = """
    SELECT EXISTS (SELECT 1 FROM user_tombstones), EXISTS (SELECT 1 FROM post_tombstones)"""
SELECT_USER_TOMBSTONE = "SELECT time FROM user_tombstones WHERE user_hash = ?"
SELECT_POST_TOMBSTONE = "SELECT time, author_hash FROM post_tombstones WHERE post_hash = ?"
RAISE_USER_TOMBSTONE = """
    INSERT INTO user_tombstones VALUES (?, ?)
    ON CONFLICT DO UPDATE SET time = max(time, excluded.time)"""
RAISE_POST_TOMBSTONE = """
    INSERT INTO post_tombstones VALUES (?, ?, ?)
    ON CONFLICT DO UPDATE SET time = max(time, excluded.time),
        author_hash = coalesce(excluded.author_hash, author_hash)"""
RAISE_TOMBSTONES_OF_AUTHOR = """
    UPDATE post_tombstones SET time = ?2 WHERE author_hash = ?1 AND time < ?2"""


class Tombstones:
    """The tombstones as one transaction sees and raises them."""

    def __init__(self, connection: sqlite3.Connection, key: bytes) -> None:
        self._connection = connection
        self._key = key
        self._have_users, self._have_posts = connection.execute(HAVE_TOMBSTONES).fetchone()

    def hash_of(self, identity: str) -> bytes:
        """BLAKE2b-128 of an id under this graph's random key."""
        return hash_of(identity, self._key)

    def of_users(self, user_ids: Iterable[str]) -> dict[str, int]:
        """Times of the newest deletions of those users that were ever deleted."""
        if not self._have_users:
            return {}
        rows = ((user_id, self._select(SELECT_USER_TOMBSTONE, user_id)) for user_id in user_ids)
        return {user_id: row[0] for user_id, row in rows if row}

    def of_posts(self, post_ids: Iterable[str]) -> dict[str, tuple[int, bytes | None]]:
        """Per post that has one: facts up to which time are void, and the author's hash.

        The time is that of the post's own deletion or of its author's, whichever is greater.
        """
        if not self._have_posts:
            return {}
        rows = ((post_id, self._select(SELECT_POST_TOMBSTONE, post_id)) for post_id in post_ids)
        return {post_id: (row[0], row[1]) for post_id, row in rows if row}

    def bury_user(self, user_id: str, time: int) -> None:
        """Void facts up to `time` about a user, and about posts known to be theirs."""
        user_hash = self.hash_of(user_id)
        self._connection.execute(RAISE_USER_TOMBSTONE, (user_hash, time))
        self._connection.execute(RAISE_TOMBSTONES_OF_AUTHOR, (user_hash, time))
        self._have_users = True

    def bury_posts(self, posts: Iterable[tuple[str, int, bytes | None]]) -> None:
        """Void facts up to a time about posts: (post_id, time, hash of the author if known)."""
        rows = [(self.hash_of(post_id), time, author) for post_id, time, author in posts]
        self._connection.executemany(RAISE_POST_TOMBSTONE, rows)
        self._have_posts = self._have_posts or bool(rows)

    def _select(self, statement: str, identity: str) -> tuple[int, bytes | None] | None:
        row: tuple[int, bytes | None] | None = self._connection.execute(
            statement, (self.hash_of(identity),)
        ).fetchone()
        return row
