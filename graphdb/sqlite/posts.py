"""Posts: content, counts, mentions and tombstones, fetched once, merged, and written once."""

import json
from collections.abc import Collection, Iterable

from graphdb.facts import EngagementFact, PostDeletion, PostFact
from graphdb.sqlite import statements
from graphdb.sqlite.json_keys import json_keys
from graphdb.sqlite.labels import void_labels
from graphdb.sqlite.post_state import UNKNOWN, Count, PostState
from graphdb.sqlite.tombstones import NEVER
from graphdb.sqlite.write import Write


class Posts:
    """The posts that one transaction speaks of. Load, change, then `flush`, and `sweep` last."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._states: dict[str, PostState] = {}
        self._voided: dict[str, int] = {}

    def load(self, post_ids: Collection[str]) -> None:
        """Fetch the rows and tombstones of posts."""
        unseen = sorted(set(post_ids).difference(self._states))
        if not unseen:
            return
        self._states.update((post_id, PostState(post_id=post_id)) for post_id in unseen)
        for row in self._write.connection.execute(statements.FIND_POSTS, (json_keys(unseen),)):
            post_id, key, author_id, author_hash, time, tie, *counts = row
            state = self._states[post_id]
            state.key, state.author_id, state.author_hash = key, author_id, author_hash
            state.time, state.tie = time, tie
            state.was_live = state.is_live
            state.likes, state.comments = _count(*counts[:3]), _count(*counts[3:])
        for post_id, (time, author_hash) in self._write.tombstones.of_posts(unseen).items():
            state = self._states[post_id]
            state.void_until = time
            state.author_hash = state.author_hash or author_hash

    def void_until(self, post_id: str) -> int:
        """Time up to which facts about a loaded post are void."""
        return self._states[post_id].void_until

    def key(self, post_id: str) -> int:
        """Key of a loaded post; it gets a row, of a stub, where it has none."""
        state = self._states[post_id]
        if state.key is None:
            self._insert([state])
        assert state.key is not None
        return state.key

    def void(self, post_ids: Collection[str], until: int) -> None:
        """Void content, counts and labels of posts up to a time."""
        self.load(post_ids)
        for post_id in post_ids:
            self._void(self._states[post_id], until)

    def delete(self, deletions: Iterable[PostDeletion]) -> None:
        """Apply `post.deleted`."""
        for deletion in deletions:
            if deletion.time > self._states[deletion.post_id].void_until:
                self._write.num_applied += 1
                self._void(self._states[deletion.post_id], deletion.time)

    def _void(self, state: PostState, until: int) -> None:
        author_id = state.author_id
        author_hash = self._write.tombstones.hash_of(author_id) if author_id else None
        if state.void(until, author_hash):
            self._write.draft.add_post(state.post_id, author_id)
        self._voided[state.post_id] = max(until, self._voided.get(state.post_id, NEVER))

    def create(self, facts: Collection[PostFact]) -> None:
        """Apply `post.created`."""
        users = self._write.users
        users.load({user_id for fact in facts for user_id in (fact.user_id, *fact.mentions)})
        evidence: dict[str, int] = {}
        for fact in facts:
            if fact.time > users.deleted_at(fact.user_id):
                evidence[fact.user_id] = max(fact.time, evidence.get(fact.user_id, NEVER))
            self._write.num_applied += self._create(fact)
        users.admit(existing=evidence.keys())
        users.witness((users.keys[user_id], time) for user_id, time in evidence.items())

    def _create(self, fact: PostFact) -> bool:
        state = self._states[fact.post_id]
        author_deleted = self._write.users.deleted_at(fact.user_id)
        if author_deleted != NEVER:
            self._void(state, author_deleted)
        if fact.time <= state.void_until:
            state.remember_author(self._write.tombstones.hash_of(fact.user_id))
            return False
        changed = state.replace_content(fact)
        changed |= state.replace_counts(
            _given(fact.like_count, fact), _given(fact.comment_count, fact)
        )
        if changed:
            self._write.draft.add_post(fact.post_id, state.author_id)
        return changed

    def engage(self, facts: Iterable[EngagementFact]) -> None:
        """Apply `post.engagement`."""
        for fact in facts:
            state = self._states[fact.post_id]
            if fact.time > state.void_until and state.replace_counts(
                _given(fact.like_count, fact), _given(fact.comment_count, fact)
            ):
                self._write.draft.add_post(fact.post_id, state.author_id)
                self._write.num_applied += 1

    def flush(self) -> None:
        """Write what changed."""
        states = self._states.values()
        self._write.draft.add_labels_of(
            self._write.connection,
            "post",
            {
                state.key: state.post_id
                for state in states
                if state.key is not None and state.is_live != state.was_live
            },
        )
        self._insert([state for state in states if state.key is None and state.needs_row])
        self._write_content([state for state in states if state.content_changed and state.key])
        self._write.connection.executemany(
            statements.WRITE_POST_COUNTS,
            [
                (state.key, *_stored(state.likes), *_stored(state.comments))
                for state in states
                if state.counts_changed and state.key
            ],
        )
        self._write.tombstones.bury_posts(
            (state.post_id, state.void_until, state.author_hash)
            for state in states
            if state.tombstone_changed
        )
        self._void_labels()

    def _insert(self, states: list[PostState]) -> None:
        if not states:
            return
        connection = self._write.connection
        (last,) = connection.execute(statements.SELECT_LAST_POST).fetchone()
        for key, state in enumerate(states, last + 1):
            state.key = key
        connection.executemany(
            statements.INSERT_POST_STUB,
            [(state.key, state.post_id, state.author_hash) for state in states],
        )

    def _write_content(self, states: list[PostState]) -> None:
        connection = self._write.connection
        connection.executemany(statements.DELETE_MENTIONS, [(state.key,) for state in states])
        connection.executemany(
            statements.WRITE_POST_STUB,
            [(state.key, state.author_hash) for state in states if not state.is_live],
        )
        facts = [(state.key, state.new_content) for state in states if state.new_content]
        users = self._write.users
        mentions = [(key, self._standing_mentions(fact)) for key, fact in facts]
        users.admit(existing=(), mentioned={name for _, names in mentions for name in names})
        connection.executemany(
            statements.INSERT_MENTION,
            [(key, users.keys[name]) for key, names in mentions for name in names],
        )
        connection.executemany(
            statements.WRITE_POST_CONTENT,
            [
                (
                    key,
                    users.keys[fact.user_id],
                    fact.time,
                    fact.tie,
                    fact.image,
                    json.dumps(sorted(set(fact.hashtags)), ensure_ascii=False),
                    fact.caption,
                )
                for key, fact in facts
            ],
        )

    def _standing_mentions(self, fact: PostFact) -> set[str]:
        deleted_at = self._write.users.deleted_at
        return {user_id for user_id in fact.mentions if fact.time > deleted_at(user_id)}

    def _void_labels(self) -> None:
        for post_id, until in self._voided.items():
            key = self._states[post_id].key
            if key is not None:
                void_labels(self._write, "post", key, post_id, until)

    def sweep(self) -> None:
        """Delete the rows of posts of which nothing stands any more."""
        self._write.connection.executemany(
            statements.DELETE_EMPTY_POST,
            [(self._states[post_id].key,) for post_id in self._voided],
        )


def posts_of_author(write: Write, user_id: str) -> list[str]:
    """Posts known to be a user's: those whose content stands, and stubs."""
    key = write.users.keys.get(user_id, NEVER)
    rows = write.connection.execute(
        statements.SELECT_POSTS_OF_AUTHOR, (key, write.tombstones.hash_of(user_id))
    )
    return [post_id for (post_id,) in rows.fetchall()]


def _count(value: int | None, time: int | None, tie: int | None) -> Count:
    return UNKNOWN if time is None or tie is None else Count(value, time, tie)


def _given(value: int | None, fact: PostFact | EngagementFact) -> Count | None:
    return None if value is None else Count(value, fact.time, fact.tie)


def _stored(count: Count) -> tuple[int | None, int | None, int | None]:
    return (None, None, None) if count == UNKNOWN else (count.value, count.time, count.tie)
