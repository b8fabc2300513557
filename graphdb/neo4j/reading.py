"""Columns of the graph in Neo4j as the records of the contract."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from graphdb.digest import StateDigest, json_id
from graphdb.facts import SubjectKind
from graphdb.neo4j.connection import Database, Transaction
from graphdb.neo4j.profiles import PROFILE_FIELDS
from graphdb.store import Direction, Follows, GraphCounts, Label, Post, Profile

KEYS_A_READ = 10_000
FIRST = ""
"""Before every id."""

PAGE_USERS = """
MATCH (u:User) WHERE u.user_id > $after
WITH u.user_id AS user_id ORDER BY user_id LIMIT $limit
RETURN collect(user_id)"""
COUNTS = """
RETURN COUNT { (:User) }, COUNT { (:Post) }, COUNT { ()-[:FOLLOWS]->() },
    COUNT { (a:User)-[:FOLLOWS]->(b:User) WHERE EXISTS { (b)-[:FOLLOWS]->(a) } }"""
_PROFILE = f"u.user_id, u.time, {', '.join(f'u.{name}' for name in PROFILE_FIELDS)}"
SELECT_PROFILES = f"""
UNWIND $ids AS id
MATCH (u:User {{user_id: id}})
RETURN collect([{_PROFILE}])"""
PAGE_PROFILES = f"""
MATCH (u:User) WHERE u.user_id > $after
WITH u ORDER BY u.user_id LIMIT $limit
RETURN collect([{_PROFILE}])"""
_POST = """[p.post_id, a.user_id, p.time, p.caption, p.image,
    COLLECT { MATCH (p)-[:TAGGED]->(h) RETURN h.name },
    COLLECT { MATCH (p)-[:MENTIONS]->(u) RETURN u.user_id },
    p.like_count, p.comment_count]"""
SELECT_POSTS = f"""
UNWIND $ids AS id
MATCH (p:Post {{post_id: id}})<-[:POSTED]-(a:User)
RETURN collect({_POST})"""
SELECT_POSTS_OF = f"""
UNWIND $ids AS id
MATCH (a:User {{user_id: id}})-[:POSTED]->(p:Post)
RETURN collect({_POST})"""
PAGE_POSTS = f"""
MATCH (p:Post) WHERE p.post_id > $after
WITH p ORDER BY p.post_id LIMIT $limit
MATCH (p)<-[:POSTED]-(a:User)
RETURN collect({_POST})"""
_OF_KIND = {"user": ("User", "user_id"), "post": ("Post", "post_id")}
SELECT_LABELS = {
    kind: f"""
MATCH (t:Task) WHERE $task IS NULL OR t.name = $task
MATCH (t)<-[l:LABELED]-(s:{label})
RETURN collect([s.{key}, t.name, l.annotator, l.labels, l.time])"""
    for kind, (label, key) in _OF_KIND.items()
}
SELECT_LABELS_OF = {
    kind: f"""
UNWIND $ids AS id
MATCH (s:{label} {{{key}: id}})-[l:LABELED]->(t:Task) WHERE $task IS NULL OR t.name = $task
RETURN collect([s.{key}, t.name, l.annotator, l.labels, l.time])"""
    for kind, (label, key) in _OF_KIND.items()
}
NEIGHBOURS = {
    "followers": """
MATCH (:User {user_id: $id})<-[:FOLLOWS]-(v:User) RETURN collect(v.user_id)""",
    "followees": """
MATCH (:User {user_id: $id})-[:FOLLOWS]->(v:User) RETURN collect(v.user_id)""",
    "mutual": """
MATCH (u:User {user_id: $id})-[:FOLLOWS]->(v:User) WHERE EXISTS { (v)-[:FOLLOWS]->(u) }
RETURN collect(v.user_id)""",
}
# A page of follows is that of a page of followers: the last one is where the next page begins.
PAGE_FOLLOWS = """
MATCH (u:User) WHERE u.user_id > $after
WITH u ORDER BY u.user_id LIMIT $limit
WITH collect(u) AS page
WITH page, page[-1].user_id AS last
UNWIND page AS u
OPTIONAL MATCH (u)-[f:FOLLOWS]->(v:User)
WITH last, u.user_id AS follower, v.user_id AS followee, f.since AS since
WITH last, CASE WHEN since IS NOT NULL THEN follower END AS follower, followee, since
RETURN last, collect(follower), collect(followee), collect(since)"""


def read_profiles(database: Database, user_ids: Sequence[str]) -> list[Profile]:
    """Those of the users that exist, in the order asked."""
    return [
        profile
        for part in _parts(user_ids)
        for profile in _profiles(_ask(database, SELECT_PROFILES, ids=part))
    ]


def read_posts(database: Database, post_ids: Sequence[str]) -> list[Post]:
    """Those of the posts that are live, in the order asked."""
    return [
        post for part in _parts(post_ids) for post in _posts(_ask(database, SELECT_POSTS, ids=part))
    ]


def read_posts_of(database: Database, user_ids: Sequence[str]) -> list[Post]:
    """Live posts of users in the order asked, newest first."""
    by_author: dict[str, list[Post]] = {}
    for part in _parts(list(dict.fromkeys(user_ids))):
        for post in _posts(_ask(database, SELECT_POSTS_OF, ids=part)):
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
        rows = _ask(database, SELECT_LABELS[subject_kind], task=task)
    else:
        rows = [
            row
            for part in _parts(list(dict.fromkeys(subject_ids)))
            for row in _ask(database, SELECT_LABELS_OF[subject_kind], task=task, ids=part)
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
    page: list[str] = _ask(database, PAGE_USERS, after=after or FIRST, limit=limit)
    return page


def read_counts(database: Database) -> GraphCounts:
    """Sizes of the graph."""
    users, posts, follows, followed_back = _ask(database, COUNTS)
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
    while page := _find(database, PAGE_FOLLOWS, after=after, limit=KEYS_A_READ):
        after, followers, followees, since = page
        yield followers, followees, since


def read_neighbours(database: Database, user_id: str, direction: Direction) -> list[str]:
    """Users at the other end of the live follows of one user, ascending."""
    return sorted(_ask(database, NEIGHBOURS[direction], id=user_id))


def state_digest(database: Database) -> str:
    """The digest of the whole state, in pages."""
    digest = StateDigest()
    digest.add_profiles(_profiles(_pages(database, PAGE_PROFILES)))
    digest.add_posts(_posts(_pages(database, PAGE_POSTS)))
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
        fields = dict(zip(PROFILE_FIELDS, values, strict=True))
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
