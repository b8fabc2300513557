"""The change feed: one node a commit with the keys that it changed, as columns."""

import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np

from graphdb.errors import ChangesTrimmed
from graphdb.neo4j.connection import Database, Transaction
from graphdb.rules.draft import Draft
from graphdb.store import Change, Head, LabelChange, PostChange

COMMITS_A_READ = 16
VERSIONS_A_TRIM = 1000
NO_AUTHOR = ""
"""Stands for the unknown author in a column, which cannot hold null; no id is empty."""

APPEND_CHANGE = """
MATCH (m:Meta {id: 0})
SET m.commit_time = $commit_time
CREATE (:Change {version: m.version, commit_time: $commit_time, num_keys: $num_keys,
    users: $users, post_ids: $post_ids, author_ids: $author_ids,
    content_changed: $content_changed, num_mentioned: $num_mentioned, mentioned: $mentioned,
    followers: $followers, followees: $followees, live: $live, label_kinds: $label_kinds,
    label_subjects: $label_subjects, label_tasks: $label_tasks, label_authors: $label_authors})
RETURN m.version"""
SELECT_REACH = """
MATCH (m:Meta {id: 0})
OPTIONAL MATCH (c:Change) WHERE c.version > 0
WITH m, c ORDER BY c.version LIMIT 1
RETURN m.version, c.version"""
SELECT_CHANGES = """
MATCH (c:Change) WHERE $since < c.version <= $since + $limit
WITH c ORDER BY c.version
RETURN collect([c.version, c.commit_time, c.users, [c.post_ids, c.author_ids, c.content_changed,
    c.num_mentioned, c.mentioned], [c.followers, c.followees, c.live],
    [c.label_kinds, c.label_subjects, c.label_tasks, c.label_authors]])"""
SELECT_CHANGE_SIZES = """
MATCH (c:Change) WHERE c.version > 0
WITH c ORDER BY c.version
RETURN collect(c.version), collect(c.commit_time), collect(c.num_keys)"""
TRIM_CHANGES = """
MATCH (c:Change) WHERE c.version <= $newest
WITH c ORDER BY c.version LIMIT $limit
DELETE c
RETURN count(*)"""


def append_change(tx: Transaction, draft: Draft, last_commit_time: int) -> Head:
    """Give the transaction its commit time and store its row of the feed."""
    commit_time = max(time.time_ns() // 1000, last_commit_time + 1)
    draft.settle_follows()
    posts, labels = draft.post_changes(), draft.label_changes()
    version = tx.ask(
        APPEND_CHANGE,
        commit_time=commit_time,
        num_keys=draft.num_keys,
        users=sorted(draft.users),
        post_ids=[post.post_id for post in posts],
        author_ids=[post.author_id or NO_AUTHOR for post in posts],
        content_changed=[post.content_changed for post in posts],
        num_mentioned=[len(post.mentioned) for post in posts],
        mentioned=[user_id for post in posts for user_id in post.mentioned],
        followers=draft.followers,
        followees=draft.followees,
        live=draft.live,
        label_kinds=[label.subject_kind for label in labels],
        label_subjects=[label.subject_id for label in labels],
        label_tasks=[label.task for label in labels],
        label_authors=[label.author_id or NO_AUTHOR for label in labels],
    )
    return Head(version=version, commit_time=commit_time)


def read_changes(database: Database, since: int) -> Iterator[Change]:
    """Changes above `since`, ascending, a few commits a read transaction.

    Raises ChangesTrimmed, before the first change or in the midst when a trim overtakes it.
    """
    head = database.read(lambda tx: _reach(tx, database, since))
    return _pages(database, since, head)


def _pages(database: Database, since: int, head: int) -> Iterator[Change]:
    """The transaction after that which read the head sees all of its commit."""
    while since < head:
        rows = database.read(lambda tx, after=since: _page(tx, after, head))  # type: ignore[misc]
        if [row[0] for row in rows] != list(range(since + 1, since + 1 + len(rows))) or not rows:
            raise _trimmed(database, since, since + 1, head)
        yield from map(_change, rows)
        since = rows[-1][0]


def _page(tx: Transaction, since: int, head: int) -> list[list[Any]]:
    limit = min(COMMITS_A_READ, head - since)
    rows: list[list[Any]] = tx.ask(SELECT_CHANGES, since=since, limit=limit)
    return rows


def _reach(tx: Transaction, database: Database, since: int) -> int:
    """The head's version, where all above `since` are kept."""
    head: int
    head, oldest = tx.ask(SELECT_REACH)
    first = head if oldest is None else oldest - 1
    if not first <= since <= head:
        raise _trimmed(database, since, first, head)
    return head


def _trimmed(database: Database, since: int, first: int, head: int) -> ChangesTrimmed:
    return ChangesTrimmed(
        f"changes of {database.address} since version {since} are not kept "
        f"(it has those since {first}, up to {head}); rebuild the consumer"
    )


def _change(row: list[Any]) -> Change:
    version, commit_time, users, posts, follows, labels = row
    return Change(
        version=version,
        commit_time=commit_time,
        users=users,
        posts=list(_post_changes(*posts)),
        follows=list(zip(*follows, strict=True)),
        labels=[
            LabelChange(kind, subject_id, task, author_id or None)
            for kind, subject_id, task, author_id in zip(*labels, strict=True)
        ],
    )


def _post_changes(
    post_ids: list[str],
    author_ids: list[str],
    content_changed: list[bool],
    num_mentioned: list[int],
    mentioned: list[str],
) -> Iterator[PostChange]:
    users = iter(mentioned)
    for post_id, author_id, changed, count in zip(
        post_ids, author_ids, content_changed, num_mentioned, strict=True
    ):
        yield PostChange(post_id, author_id or None, changed, tuple(islice(users, count)))


def trim_changes(database: Database, *, older_than: int, max_rows: int) -> int:
    """Drop changes that are too old or too many; return how many versions went."""
    versions, times, sizes = database.read(lambda tx: tx.ask(SELECT_CHANGE_SIZES))
    num_newer = np.cumsum(np.array(sizes, dtype=np.int64)[::-1])[::-1]
    to_drop = (np.array(times, dtype=np.int64) < older_than) | (num_newer > max_rows)
    if not to_drop.any():
        return 0
    newest = versions[int(np.flatnonzero(to_drop)[-1])]
    num_dropped = 0
    while dropped := database.write(
        lambda tx: tx.ask(TRIM_CHANGES, newest=newest, limit=VERSIONS_A_TRIM),
        repeatable=True,
    ):
        num_dropped += dropped
    return num_dropped
