"""User deletions: void everything about users up to a time each, in bounded transactions."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from graphdb.facts import UserDeletion
from graphdb.neo4j.labels import void_labels
from graphdb.neo4j.posts import Posts, posts_of_authors
from graphdb.neo4j.profiles import VOID_PROFILES
from graphdb.neo4j.users import NODE_LABELS
from graphdb.neo4j.write import Write
from graphdb.rules.tombstones import NEVER

FACTS_A_TRANSACTION = 10_000

Piece = Callable[[Write], bool]
"""Part of a large deletion, for a transaction of its own: repeat it until it returns False."""

# How many facts each deletion voids: follows at either end, posts, mentions.
COUNT_VOID = {
    label: f"""
UNWIND range(0, size($ids) - 1) AS i
MATCH (u:{label} {{user_id: $ids[i]}})
RETURN collect([i,
    COUNT {{ (u)-[f:FOLLOWS]-() WHERE f.since <= $times[i] }}
    + COUNT {{ (u)-[f:UNFOLLOWED]-() WHERE f.time <= $times[i] }},
    COUNT {{ (u)-[:POSTED]->() }},
    COUNT {{ (u)<-[:MENTIONS]-(p) WHERE p.time <= $times[i] }}])"""
    for label in NODE_LABELS
}
# The other end of a void follow existed: it keeps the proof.
VOID_FOLLOWS = {
    label: f"""
UNWIND range(0, size($ids) - 1) AS i
MATCH (u:{label} {{user_id: $ids[i]}})-[f:FOLLOWS]-(other)
WHERE f.since <= $times[i]
WITH DISTINCT f, other, startNode(f).user_id AS follower, endNode(f).user_id AS followee,
    f.since AS since LIMIT $limit
SET other.evidence =
    CASE WHEN coalesce(other.evidence, -1) < since THEN since ELSE other.evidence END
DELETE f
RETURN collect(DISTINCT [follower, followee])"""
    for label in NODE_LABELS
}
VOID_UNFOLLOWS = {
    label: f"""
UNWIND range(0, size($ids) - 1) AS i
MATCH (u:{label} {{user_id: $ids[i]}})-[f:UNFOLLOWED]-(other)
WHERE f.time <= $times[i]
WITH DISTINCT f, other, coalesce(f.created, -1) AS created LIMIT $limit
SET other.evidence =
    CASE WHEN coalesce(other.evidence, -1) < created THEN created ELSE other.evidence END
DELETE f
RETURN count(*)"""
    for label in NODE_LABELS
}
VOID_MENTIONS = {
    label: f"""
UNWIND range(0, size($ids) - 1) AS i
MATCH (u:{label} {{user_id: $ids[i]}})<-[m:MENTIONS]-(p:Post)
WHERE p.time <= $times[i]
WITH DISTINCT m, p, $ids[i] AS id LIMIT $limit
DELETE m
WITH p, id
MATCH (p)<-[:POSTED]-(a:User)
RETURN collect([p.post_id, a.user_id, id])"""
    for label in NODE_LABELS
}


def apply_user_deletions(write: Write, posts: Posts, deletions: Sequence[UserDeletion]) -> None:
    """Apply a batch's `user.deleted`, before its facts. `Users.settle` must follow them."""
    if not deletions:
        return
    times = _effective(write, deletions)
    if not times:
        return
    write.num_applied += len(times)
    write.draft.users.update(filter(write.users.exists, times))
    write.users.bury(times)
    posts.void(posts_of_authors(write, times))
    for label, part in _by_label(write, times).items():
        if label == "User":
            write.tx.do(VOID_PROFILES, ids=list(part), times=list(part.values()))
        void_labels(write, "user", label, part)
        for void in (_void_follows, _void_mentions):
            while void(write, part):
                pass


def _effective(write: Write, deletions: Sequence[UserDeletion]) -> dict[str, int]:
    """Per user the newest of the deletions that is newer than the one known."""
    users = write.users
    users.load({deletion.user_id for deletion in deletions})
    times: dict[str, int] = {}
    for deletion in deletions:
        known = max(users.deleted_at(deletion.user_id), times.get(deletion.user_id, NEVER))
        if deletion.time > known:
            times[deletion.user_id] = deletion.time
    return times


def _by_label(write: Write, times: Mapping[str, int]) -> dict[str, dict[str, int]]:
    groups: dict[str, dict[str, int]] = {}
    for user_id, time in times.items():
        if write.users.is_known(user_id):
            groups.setdefault(write.users.label_of(user_id), {})[user_id] = time
    return groups


def _void_follows(write: Write, times: Mapping[str, int]) -> bool:
    """Delete follows and unfollows at these users' ends; return whether there may be more."""
    write.users.load(times.keys())
    more = False
    for label, part in _by_label(write, times).items():
        voiding = partial(
            write.tx.ask, ids=list(part), times=list(part.values()), limit=FACTS_A_TRANSACTION
        )
        gone = voiding(VOID_FOLLOWS[label])
        num_unfollows = voiding(VOID_UNFOLLOWS[label])
        write.draft.add_follows(
            [follower for follower, _ in gone],
            [followee for _, followee in gone],
            [False] * len(gone),
        )
        more |= bool(gone) or num_unfollows > 0
    return more


def _void_mentions(write: Write, times: Mapping[str, int]) -> bool:
    """Delete mentions of these users; return whether there may be more."""
    write.users.load(times.keys())
    more = False
    for label, part in _by_label(write, times).items():
        gone = write.tx.ask(
            VOID_MENTIONS[label],
            ids=list(part),
            times=list(part.values()),
            limit=FACTS_A_TRANSACTION,
        )
        for post_id, author_id, user_id in gone:
            write.draft.add_post(post_id, author_id, content_changed=True)
            write.draft.mentions.add((post_id, user_id))
        more |= len(gone) == FACTS_A_TRANSACTION
    return more


def ahead_of(write: Write, deletions: Sequence[UserDeletion]) -> list[Piece]:
    """What to commit ahead of a batch whose deletions void too much for its own transaction.

    A transaction of a piece voids at most 10,000 facts of its kind; repeating it is harmless.
    """
    times = _effective(write, deletions)
    sizes = _sizes(write, times)
    if sum(sizes.values()) <= FACTS_A_TRANSACTION:
        return []
    pieces: list[Piece] = []
    for part in _groups(times, sizes):
        found = list(posts_of_authors(write, part).items())
        pieces += [
            partial(_void_posts, times=dict(found[start : start + FACTS_A_TRANSACTION]))
            for start in range(0, len(found), FACTS_A_TRANSACTION)
        ]
        pieces += [partial(void, times=part) for void in (_void_follows, _void_mentions)]
    return pieces


def _sizes(write: Write, times: Mapping[str, int]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for label, part in _by_label(write, times).items():
        ids = list(part)
        found = write.tx.ask(COUNT_VOID[label], ids=ids, times=list(part.values()))
        sizes.update((ids[i], sum(counts)) for i, *counts in found)
    return sizes


def _groups(times: Mapping[str, int], sizes: Mapping[str, int]) -> Iterator[dict[str, int]]:
    """The deletions in groups that void at most 10,000 facts together, or one user's alone."""
    group: dict[str, int] = {}
    size = 0
    for user_id, own_size in sizes.items():
        if group and size + own_size > FACTS_A_TRANSACTION:
            yield group
            group, size = {}, 0
        group[user_id] = times[user_id]
        size += own_size
    yield group


def _void_posts(write: Write, times: Mapping[str, int]) -> bool:
    posts = Posts(write)
    posts.void(times)
    posts.flush()
    posts.sweep()
    return False
