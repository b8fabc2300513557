"""User deletions: void everything about a user up to a time, in bounded transactions."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from graphdb.facts import UserDeletion
from graphdb.rules.follow_rows import Int64
from graphdb.sqlite.follows import follow_evidence, void_follows, void_pairs
from graphdb.sqlite.labels import void_labels
from graphdb.sqlite.posts import Posts, posts_of_author
from graphdb.sqlite.write import Write

FACTS_A_TRANSACTION = 10_000

Piece = Callable[[Write], None]
"""Part of a large deletion, for a transaction of its own; repeating it is harmless."""

VOID_PROFILE = "DELETE FROM profiles WHERE user = ? AND time <= ?"
SELECT_VOID_MENTIONS = """
    SELECT mentions.post, post_id, user_id
    FROM mentions CROSS JOIN posts ON posts.key = mentions.post
    CROSS JOIN users ON users.key = author
    WHERE mentions.user = ? AND time <= ? LIMIT ?"""
COUNT_MENTIONS = "SELECT count(*) FROM mentions WHERE user = ?"
VOID_MENTION = "DELETE FROM mentions WHERE post = ? AND user = ?"


def apply_user_deletions(write: Write, posts: Posts, deletions: Sequence[UserDeletion]) -> None:
    """Apply a batch's `user.deleted`, before its facts. `settle_deleted` must follow them."""
    users = write.users
    users.load({deletion.user_id for deletion in deletions})
    for deletion in deletions:
        if deletion.time <= users.deleted_at(deletion.user_id):
            continue
        write.num_applied += 1
        if users.exists(deletion.user_id):
            write.draft.users.add(deletion.user_id)
        users.bury(deletion.user_id, deletion.time)
        posts.void(posts_of_author(write, deletion.user_id), deletion.time)
        key = users.keys.get(deletion.user_id)
        if key is not None:
            _void_user(write, deletion, key)


def _void_user(write: Write, deletion: UserDeletion, key: int) -> None:
    write.connection.execute(VOID_PROFILE, (key, deletion.time))
    void_labels(write, "user", key, deletion.user_id, deletion.time)
    for pairs in _void_slices(write, deletion, key):
        void_follows(write, key, pairs, deletion.time)
    while _void_mentions(write, deletion, key):
        pass


def _void_mentions(write: Write, deletion: UserDeletion, key: int) -> bool:
    """Delete mentions of a user up to a time; return whether there may be more."""
    rows = write.connection.execute(
        SELECT_VOID_MENTIONS, (key, deletion.time, FACTS_A_TRANSACTION)
    ).fetchall()
    write.connection.executemany(VOID_MENTION, [(post, key) for post, _, _ in rows])
    for _, post_id, author_id in rows:
        write.draft.add_post(post_id, author_id, content_changed=True)
        write.draft.mentions.add((post_id, deletion.user_id))
    return len(rows) == FACTS_A_TRANSACTION


def settle_deleted(write: Write) -> None:
    """Decide which of a batch's deleted users exist, now that all its facts are in."""
    for user_id in write.users.buried:
        key = write.users.keys.get(user_id)
        if key is not None:
            newest_follow, has_follows = follow_evidence(write.connection, key)
            write.users.settle(user_id, newest_follow=newest_follow, has_follows=has_follows)


def ahead_of(write: Write, deletions: Sequence[UserDeletion]) -> list[list[Piece]]:
    """What to commit ahead of a batch whose deletions void too much for its own transaction.

    Each list is for one transaction and voids at most 10,000 facts.
    """
    users = write.users
    users.load({deletion.user_id for deletion in deletions})
    transactions: list[list[Piece]] = []
    room = 0
    num_facts = 0
    for deletion in deletions:
        if deletion.time <= users.deleted_at(deletion.user_id):
            continue
        for size, piece in _pieces_of(write, deletion):
            num_facts += size
            if size > room:
                transactions.append([])
                room = FACTS_A_TRANSACTION
            transactions[-1].append(piece)
            room -= size
    return transactions if num_facts > FACTS_A_TRANSACTION else []


def _pieces_of(write: Write, deletion: UserDeletion) -> Iterator[tuple[int, Piece]]:
    post_ids = posts_of_author(write, deletion.user_id)
    for start in range(0, len(post_ids), FACTS_A_TRANSACTION):
        part = post_ids[start : start + FACTS_A_TRANSACTION]
        yield len(part), partial(_void_posts, post_ids=part, time=deletion.time)
    key = write.users.keys.get(deletion.user_id)
    if key is None:
        return
    for pairs in _void_slices(write, deletion, key):
        yield len(pairs), partial(_void_pairs, deletion=deletion, key=key, pairs=pairs)
    (num_mentions,) = write.connection.execute(COUNT_MENTIONS, (key,)).fetchone()
    for start in range(0, num_mentions, FACTS_A_TRANSACTION):
        size = min(FACTS_A_TRANSACTION, num_mentions - start)
        yield size, partial(_void_some_mentions, deletion=deletion, key=key)


def _void_slices(write: Write, deletion: UserDeletion, key: int) -> Iterator[Int64]:
    pairs = void_pairs(write.connection, key, deletion.time)
    for start in range(0, len(pairs), FACTS_A_TRANSACTION):
        yield pairs[start : start + FACTS_A_TRANSACTION]


def _void_posts(write: Write, *, post_ids: list[str], time: int) -> None:
    posts = Posts(write)
    posts.void(post_ids, time)
    posts.flush()
    posts.sweep()


def _void_pairs(write: Write, *, deletion: UserDeletion, key: int, pairs: Int64) -> None:
    if _still_has_key(write, deletion, key):
        void_follows(write, key, pairs, deletion.time)


def _void_some_mentions(write: Write, *, deletion: UserDeletion, key: int) -> None:
    if _still_has_key(write, deletion, key):
        _void_mentions(write, deletion, key)


def _still_has_key(write: Write, deletion: UserDeletion, key: int) -> bool:
    """Whether no other process has deleted the user, and given the key away, in between."""
    write.users.load([deletion.user_id])
    return write.users.keys.get(deletion.user_id) == key
