"""The change feed: one row a commit with the keys that it changed."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphdb.errors import ChangesTrimmed
from graphdb.facts import SubjectKind
from graphdb.sqlite import statements
from graphdb.sqlite.connection import Database
from graphdb.sqlite.json_keys import json_keys
from graphdb.store import Change, Head

COMMITS_A_READ = 16
VERSIONS_A_TRIM = 1000

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(slots=True)
class Draft:
    """The keys that a transaction has changed so far."""

    users: set[str] = field(default_factory=set)
    posts: dict[str, str | None] = field(default_factory=dict)
    followers: list[str] = field(default_factory=list)
    followees: list[str] = field(default_factory=list)
    live: list[bool] = field(default_factory=list)
    num_follow_notes: int = 0
    labels: set[tuple[SubjectKind, str, str]] = field(default_factory=set)

    def add_post(self, post_id: str, author_id: str | None) -> None:
        """Note a post; an author that was known once in the transaction stays known."""
        self.posts[post_id] = author_id or self.posts.get(post_id)

    def add_follows(
        self, followers: Iterable[str], followees: Iterable[str], live: Iterable[bool]
    ) -> None:
        """Note different follows that came, went or began anew; of a pair the last note counts."""
        self.num_follow_notes += 1
        self.followers.extend(followers)
        self.followees.extend(followees)
        self.live.extend(live)

    def _keep_last_notes(self) -> None:
        ends = zip(self.followers, self.followees, strict=True)
        last = dict(zip(ends, self.live, strict=True))
        self.followers = [follower for follower, _ in last]
        self.followees = [followee for _, followee in last]
        self.live = list(last.values())

    def add_labels_of(
        self, connection: sqlite3.Connection, kind: SubjectKind, subjects: Mapping[int, str]
    ) -> None:
        """Note all labels of subjects (key to id) that appear, or vanish, with their subject."""
        if not subjects:
            return
        rows = connection.execute(
            statements.SELECT_LABELLED_TASKS, (kind, json_keys(sorted(subjects)))
        )
        self.labels.update((kind, subjects[key], task) for key, task in rows)

    def append_to(self, connection: sqlite3.Connection, head: Head) -> None:
        """Store the feed's row of one commit."""
        if self.num_follow_notes > 1:
            self._keep_last_notes()
        columns: tuple[Any, ...] = (
            sorted(self.users),
            list(self.posts.items()),
            self.followers,
            self.followees,
            list(map(int, self.live)),
            sorted(self.labels),
        )
        num_keys = len(self.users) + len(self.posts) + len(self.live) + len(self.labels)
        connection.execute(
            statements.INSERT_CHANGE,
            (head.version, head.commit_time, num_keys, *map(_encode, columns)),
        )


def read_changes(database: Database, since: int) -> Iterator[Change]:
    """Changes above `since`, ascending, a few commits a read transaction.

    Raises ChangesTrimmed, before the first change or in the midst when a trim overtakes it.
    """
    with database.reading() as connection:
        _check_reach(database, connection, since)
    return _pages(database, since)


def _pages(database: Database, since: int) -> Iterator[Change]:
    while True:
        with database.reading() as connection:
            _check_reach(database, connection, since)
            rows = connection.execute(statements.SELECT_CHANGES, (since, COMMITS_A_READ)).fetchall()
        if not rows:
            return
        yield from map(_change, rows)
        since = rows[-1][0]


def _check_reach(database: Database, connection: sqlite3.Connection, since: int) -> None:
    head = connection.execute(statements.SELECT_HEAD).fetchone()[0]
    oldest = connection.execute(statements.SELECT_OLDEST_CHANGE).fetchone()[0]
    first = head if oldest is None else oldest - 1
    if not first <= since <= head:
        raise ChangesTrimmed(
            f"changes of {database.path} since version {since} are not kept "
            f"(it has those since {first}, up to {head}); rebuild the consumer"
        )


def _change(row: tuple[Any, ...]) -> Change:
    version, commit_time, _, users, posts, followers, followees, live, labels = row
    return Change(
        version=version,
        commit_time=commit_time,
        users=json.loads(users),
        posts=[(post_id, author_id) for post_id, author_id in json.loads(posts)],
        follows=list(
            zip(
                json.loads(followers),
                json.loads(followees),
                map(bool, json.loads(live)),
                strict=True,
            )
        ),
        labels=[(kind, subject_id, task) for kind, subject_id, task in json.loads(labels)],
    )


def trim_changes(database: Database, *, older_than: int, max_rows: int) -> int:
    """Drop changes that are too old or too many; return how many versions went."""
    with database.reading() as connection:
        (newest,) = connection.execute(
            statements.SELECT_TRIM_VERSION, (older_than, min(max_rows, 2**63 - 1))
        ).fetchone()
    num_dropped = 0
    while newest is not None:
        with database.writing() as connection:
            dropped = connection.execute(
                statements.TRIM_CHANGES, (newest, VERSIONS_A_TRIM)
            ).rowcount
        if not dropped:
            break
        num_dropped += dropped
    return num_dropped
