"""The change feed: one row a commit with the keys that it changed."""

import json
import sqlite3
from collections.abc import Iterator
from typing import Any

from graphdb.errors import ChangesTrimmed
from graphdb.rules.draft import Draft
from graphdb.sqlite.connection import Database
from graphdb.sqlite.json_keys import to_json
from graphdb.sqlite.meta import read_head
from graphdb.store import Change, Head, LabelChange, PostChange

COMMITS_A_READ = 16
VERSIONS_A_TRIM = 1000

INSERT_CHANGE = "INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
SELECT_OLDEST_CHANGE = "SELECT min(version) FROM changes"
SELECT_CHANGES = "SELECT * FROM changes WHERE version > ? ORDER BY version LIMIT ?"
# The newest version to drop: too old, or beyond the newest `max_rows` keys.
SELECT_TRIM_VERSION = """
    SELECT max(version) FROM (
        SELECT version, commit_time, sum(num_keys) OVER (ORDER BY version DESC) AS num_newer
        FROM changes
    ) WHERE commit_time < ? OR num_newer > ?"""
TRIM_CHANGES = """
    DELETE FROM changes WHERE version IN (
        SELECT version FROM changes WHERE version <= ? ORDER BY version LIMIT ?)"""


def append_change(connection: sqlite3.Connection, draft: Draft, head: Head) -> None:
    """Store the feed's row of one commit."""
    draft.settle_follows()
    columns: tuple[Any, ...] = (
        sorted(draft.users),
        draft.post_changes(),
        draft.followers,
        draft.followees,
        list(map(int, draft.live)),
        draft.label_changes(),
    )
    connection.execute(
        INSERT_CHANGE,
        (head.version, head.commit_time, draft.num_keys, *map(to_json, columns)),
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
            rows = connection.execute(SELECT_CHANGES, (since, COMMITS_A_READ)).fetchall()
        if not rows:
            return
        yield from map(_change, rows)
        since = rows[-1][0]


def _check_reach(database: Database, connection: sqlite3.Connection, since: int) -> None:
    head = read_head(connection).version
    oldest = connection.execute(SELECT_OLDEST_CHANGE).fetchone()[0]
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
        posts=[
            PostChange(post_id, author_id, content_changed, tuple(mentioned))
            for post_id, author_id, content_changed, mentioned in json.loads(posts)
        ],
        follows=list(
            zip(
                json.loads(followers),
                json.loads(followees),
                map(bool, json.loads(live)),
                strict=True,
            )
        ),
        labels=[LabelChange(*label) for label in json.loads(labels)],
    )


def trim_changes(database: Database, *, older_than: int, max_rows: int) -> int:
    """Drop changes that are too old or too many; return how many versions went."""
    with database.reading() as connection:
        (newest,) = connection.execute(
            SELECT_TRIM_VERSION, (older_than, min(max_rows, 2**63 - 1))
        ).fetchone()
    num_dropped = 0
    while newest is not None:
        with database.writing() as connection:
            dropped = connection.execute(TRIM_CHANGES, (newest, VERSIONS_A_TRIM)).rowcount
        if not dropped:
            break
        num_dropped += dropped
    return num_dropped
