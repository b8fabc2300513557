"""Columns of the graph in Neo4j as the records of the contract."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from graphdb.digest import StateDigest, json_id
from graphdb.facts import SubjectKind
from graphdb.neo4j import statements
from graphdb.neo4j.connection import Database, Transaction
from graphdb.store import Direction, Follows, GraphCounts, Label, Post, Profile

KEYS_A_READ = 10_000
FIRST = ""
"""Before every id."""


def read_profiles(database: Database, user_ids: Sequence[str]) -> list[Profile]:
    """Those of the users that exist, in the order asked."""
    return [
        profile
        for part in _parts(user_ids)
        for profile in _profiles(_ask(database, statements.SELECT_PROFILES, ids=part))
    ]


def read_posts(database: Database, post_ids: Sequence[str]) -> list[Post]:
    """Those of the posts that are live, in the order asked."""
    return [
        post
        for part in _parts(post_ids)
        for post in _posts(_ask(database, statements.SELECT_POSTS, ids=part))
    ]


def read_posts_of(database: Database, user_ids: Sequence[str]) -> list[Post]:
    """Live posts of users in the order asked, newest first."""
    by_author: dict[str, list[Post]] = {}
    for part in _parts(list(dict.fromkeys(user_ids))):
        for post in _posts(_ask(database, statements.SELECT_POSTS_OF, ids=part)):
            by_author.setdefault(post.user_id, []).append(post)
    for posts in by_author.values():
        posts.sort(key=lambda post: (-post.time, post.post_id))
    return [post for user_id in user_ids for post in by_author.get(user_id, ())]


def read_labels(
    database: Database,
    subject_kind: SubjectKind,
    task: str | None = None,
    subject_ids: Sequence[str] | None = None,
) -> list[Label]:
    """Standing labels in ascending order of (subject, task, annotator)."""
    if subject_ids is None:
        rows = _ask(database, statements.SELECT_LABELS[subject_kind], task=task)
    else:
        rows = [
            row
            for part in _parts(list(dict.fromkeys(subject_ids)))
            for row in _ask(
                database, statements.SELECT_LABELS_OF[subject_kind], task=task, ids=part
            )
        ]
    return [
        Label(
            subject_kind=subject_kind,
            subject_id=subject_id,
            task=of_task,
            annotator=annotator,
            labels=tuple(labels),
            time=time,
        )
        for subject_id, of_task, annotator, labels, time in sorted(rows)
    ]


def page_user_ids(database: Database, after: str | None, limit: int) -> list[str]:
    """A page of existing users in ascending order of the id's UTF-8 bytes."""
    page: list[str] = _ask(database, statements.PAGE_USERS, after=after or FIRST, limit=limit)
    return page


def read_counts(database: Database) -> GraphCounts:
    """Sizes of the graph."""
    users, posts, follows, followed_back = _ask(database, statements.COUNTS)
    return GraphCounts(users=users, posts=posts, follows=follows, mutual_follows=followed_back // 2)


def read_follows(database: Database) -> Follows:
    """All live follows, ascending by (follower, followee), ends as indices of existing users.

    Users are read after the follows, and a follow that names another one is left out: what is
    committed meanwhile may be in the export in part.
    """
    ends: tuple[list[str], list[str]] = ([], [])
    since: list[int] = []
    for followers_page, followees_page, since_page in _follow_pages(database):
        ends[0].extend(followers_page)
        ends[1].extend(followees_page)
        since.extend(since_page)
    user_ids = list(_all_user_ids(database))
    index = {user_id: row for row, user_id in enumerate(user_ids)}
    followers, followees = (
        np.fromiter((index.get(end, -1) for end in column), np.int64, len(column))
        for column in ends
    )
    order = np.lexsort((followees, followers))
    order = order[(followers[order] >= 0) & (followees[order] >= 0)]
    return Follows(
        user_ids=user_ids,
        followers=followers[order],
        followees=followees[order],
        since=np.array(since, dtype=np.int64)[order],
    )


def _all_user_ids(database: Database) -> Iterator[str]:
    after: str | None = None
    while page := page_user_ids(database, after, KEYS_A_READ):
        yield from page
        after = page[-1]


def _follow_pages(database: Database) -> Iterator[tuple[list[str], list[str], list[int]]]:
    """Columns (followers, followees, since) of the follows of a page of users at a time."""
    after = FIRST
    while page := _find(database, statements.PAGE_FOLLOWS, after=after, limit=KEYS_A_READ):
        after, followers, followees, since = page
        yield followers, followees, since


def read_neighbours(database: Database, user_id: str, direction: Direction) -> list[str]:
    """Users at the other end of the live follows of one user, ascending."""
    return sorted(_ask(database, statements.NEIGHBOURS[direction], id=user_id))


def state_digest(database: Database) -> str:
    """The digest of the whole state, in pages."""
    digest = StateDigest()
    digest.add_profiles(_profiles(_pages(database, statements.PAGE_PROFILES)))
    digest.add_posts(_posts(_pages(database, statements.PAGE_POSTS)))
    for followers, followees, since in _follow_pages(database):
        digest.add_follows(
            zip(map(json_id, followers), map(json_id, followees), since, strict=True)
        )
    digest.add_labels(read_labels(database, "user"))
    digest.add_labels(read_labels(database, "post"))
    return digest.hexdigest()


def _pages(database: Database, statement: str) -> Iterator[list[Any]]:
    """Rows whose first value is the key by which they are paged."""
    after = FIRST
    while page := _ask(database, statement, after=after, limit=KEYS_A_READ):
        yield from page
        after = max(row[0] for row in page)


def _parts(keys: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(keys), KEYS_A_READ):
        yield list(keys[start : start + KEYS_A_READ])


def _ask(database: Database, statement: str, **parameters: Any) -> Any:
    def unit(tx: Transaction) -> Any:
        return tx.ask(statement, **parameters)

    return database.read(unit)


def _find(database: Database, statement: str, **parameters: Any) -> list[Any] | None:
    def unit(tx: Transaction) -> list[Any] | None:
        return tx.find(statement, **parameters)

    return database.read(unit)


def _profiles(rows: Iterable[list[Any]]) -> Iterator[Profile]:
    for user_id, time, *values in rows:
        fields = dict(zip(statements.PROFILE_FIELDS, values, strict=True))
        yield Profile(user_id=user_id, time=time, **fields)


def _posts(rows: Iterable[list[Any]]) -> Iterator[Post]:
    for post_id, user_id, time, caption, image, hashtags, mentions, likes, comments in rows:
        yield Post(
            post_id=post_id,
            user_id=user_id,
            time=time,
            caption=caption,
            image=image,
            hashtags=tuple(sorted(hashtags)),
            mentions=tuple(sorted(mentions)),
            like_count=likes,
            comment_count=comments,
        )
