"""The users that a batch speaks of: their keys, whether they exist, and their tombstones."""

import sqlite3
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from graphdb.facts import SubjectKind
from graphdb.rules.draft import Draft
from graphdb.rules.tombstones import NEVER
from graphdb.sqlite.json_keys import json_keys
from graphdb.sqlite.tombstones import Tombstones

MAX_CACHED_USERS = 1_000_000

FIND_USERS = """
    SELECT user_id, users.key, is_stub
    FROM json_each(?) AS asked CROSS JOIN users ON user_id = asked.value"""
SELECT_USER_NAMES = """
    SELECT users.key, user_id
    FROM json_each(?) AS asked CROSS JOIN users ON users.key = asked.value"""
SELECT_LAST_USER = "SELECT coalesce(max(key), 0) FROM users"
INSERT_USER = "INSERT INTO users (key, user_id, is_stub) VALUES (?, ?, ?)"
PROMOTE_USER = "UPDATE users SET is_stub = 0 WHERE key = ?"
RAISE_EVIDENCE = "UPDATE users SET evidence = ?2 WHERE key = ?1 AND evidence < ?2"
SELECT_EVIDENCE = """
    SELECT max(evidence, coalesce((SELECT time FROM profiles WHERE user = users.key), -1),
        coalesce((SELECT max(time) FROM posts WHERE author = users.key), -1))
    FROM users WHERE users.key = ?"""
SET_USER_STUB = "UPDATE users SET is_stub = ? WHERE key = ?"
DELETE_USER = """
    DELETE FROM users WHERE key = ?1
    AND NOT EXISTS (SELECT 1 FROM mentions WHERE user = ?1)
    AND NOT EXISTS (SELECT 1 FROM labels WHERE subject_kind = 'user' AND subject = ?1)"""
SELECT_LABELLED_TASKS = """
    SELECT DISTINCT subject, task FROM json_each(?2) AS asked CROSS JOIN labels
    ON subject_kind = ?1 AND subject = asked.value"""


@dataclass(slots=True)
class UserCache:
    """What a writer remembers of users between its commits, while no other writer commits."""

    version: int = -1
    keys: dict[str, int] = field(default_factory=dict)
    stubs: set[str] = field(default_factory=set)
    deleted: dict[str, int] = field(default_factory=dict)

    def forget(self) -> None:
        """Empty the cache."""
        self.version = -1
        self.keys.clear()
        self.stubs.clear()
        self.deleted.clear()


class Users:
    """Users within one transaction. Load ids before asking for their key or deletion."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        tombstones: Tombstones,
        draft: Draft,
        cache: UserCache,
    ) -> None:
        self._connection = connection
        self._tombstones = tombstones
        self._draft = draft
        self._cache = cache
        self.keys = cache.keys
        """Key of each user that has a row, stubs included."""
        self.buried: set[str] = set()
        """Users whom this transaction buried; `settle` them when all facts are in."""

    def load(self, user_ids: Collection[str]) -> None:
        """Fetch the rows and tombstones of users that the cache does not hold."""
        unseen = set(user_ids).difference(self.keys)
        if not unseen:
            return
        for user_id, key, is_stub in self._connection.execute(
            FIND_USERS, (json_keys(sorted(unseen)),)
        ):
            self.keys[user_id] = key
            if is_stub:
                self._cache.stubs.add(user_id)
        self._cache.deleted.update(self._tombstones.of_users(unseen))

    def deleted_at(self, user_id: str) -> int:
        """Time up to which facts about a user are void."""
        return self._cache.deleted.get(user_id, NEVER)

    def none_deleted(self, user_ids: Collection[str]) -> bool:
        """Whether no fact about any of these users can be void."""
        return self._cache.deleted.keys().isdisjoint(user_ids)

    def exists(self, user_id: str) -> bool:
        """Whether a user is more than a stub."""
        return user_id in self.keys and user_id not in self._cache.stubs

    def admit(self, *, existing: Collection[str], mentioned: Collection[str] = ()) -> None:
        """Give rows to users: full ones to those that exist, at least stubs to the others."""
        stubs = self._cache.stubs
        promoted = stubs.intersection(existing)
        if promoted:
            self._connection.executemany(
                PROMOTE_USER, [(self.keys[user_id],) for user_id in promoted]
            )
            stubs -= promoted
            self._report_labels(promoted)
        came = set(existing).difference(self.keys)
        self._insert(came, is_stub=False)
        self._draft.users.update(promoted, came)
        unknown = set(mentioned).difference(self.keys)
        self._insert(unknown, is_stub=True)
        stubs |= unknown

    def _report_labels(self, user_ids: Iterable[str]) -> None:
        subjects = {self.keys[user_id]: user_id for user_id in user_ids}
        self._draft.add_labels("user", labelled_tasks(self._connection, "user", subjects))

    def _insert(self, user_ids: set[str], *, is_stub: bool) -> None:
        if not user_ids:
            return
        (last,) = self._connection.execute(SELECT_LAST_USER).fetchone()
        rows = [(key, user_id, is_stub) for key, user_id in enumerate(sorted(user_ids), last + 1)]
        self._connection.executemany(INSERT_USER, rows)
        self.keys.update((user_id, key) for key, user_id, _ in rows)

    def witness(self, evidence: Iterable[tuple[int, int]]) -> None:
        """Remember (user key, time) proofs of existence that no other row will hold."""
        self._connection.executemany(RAISE_EVIDENCE, evidence)

    def names(self, keys: Iterable[int]) -> dict[int, str]:
        """Ids of keys."""
        asked = json_keys(sorted(keys))
        return dict(self._connection.execute(SELECT_USER_NAMES, (asked,)).fetchall())

    def bury(self, user_id: str, time: int) -> None:
        """Void facts about a user up to a time, from now on."""
        self.buried.add(user_id)
        self._tombstones.bury_user(user_id, time)
        self._cache.deleted[user_id] = time

    def settle(self, user_id: str, *, newest_follow: int, has_follows: bool) -> None:
        """Decide whether a buried user still exists; drop the row when nothing refers to it.

        `newest_follow` is the newest `follow.created` at either end of the user; `has_follows`
        says that a follow or an unfollow still refers to it.
        """
        key = self.keys.get(user_id)
        if key is None:
            return
        (evidence,) = self._connection.execute(SELECT_EVIDENCE, (key,)).fetchone()
        is_stub = max(evidence, newest_follow) <= self.deleted_at(user_id)
        if is_stub and not has_follows and self._delete(key):
            del self.keys[user_id]
            self._cache.stubs.discard(user_id)
            return
        self._connection.execute(SET_USER_STUB, (is_stub, key))
        if is_stub and user_id in self._draft.users:
            self._report_labels([user_id])
        (self._cache.stubs.add if is_stub else self._cache.stubs.discard)(user_id)

    def _delete(self, key: int) -> bool:
        return self._connection.execute(DELETE_USER, (key,)).rowcount > 0


def labelled_tasks(
    connection: sqlite3.Connection, kind: SubjectKind, subjects: Mapping[int, str]
) -> list[tuple[str, str]]:
    """(subject_id, task) of all labels of subjects (key to id), withdrawn ones included."""
    if not subjects:
        return []
    rows = connection.execute(SELECT_LABELLED_TASKS, (kind, json_keys(sorted(subjects))))
    return [(subjects[key], task) for key, task in rows]
