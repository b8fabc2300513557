"""Posts: content, counts, mentions and tombstones, fetched once, merged, and written once."""

from collections.abc import Collection, Iterable, Mapping

from graphdb.facts import EngagementFact, PostDeletion, PostFact
from graphdb.rules.post_merge import PostMerge
from graphdb.rules.post_state import UNKNOWN, Count, PostState
from graphdb.rules.tombstones import NEVER
from graphdb.sqlite.json_keys import json_keys, to_json
from graphdb.sqlite.labels import void_labels
from graphdb.sqlite.users import labelled_tasks
from graphdb.sqlite.write import Write

FIND_POSTS = """
    SELECT post_id, posts.key, user_id, author_hash, coalesce(time, -1), coalesce(tie, 0),
        like_count, like_time, like_tie, comment_count, comment_time, comment_tie
    FROM json_each(?) AS asked CROSS JOIN posts ON post_id = asked.value
    LEFT JOIN users ON users.key = author"""
SELECT_LAST_POST = "SELECT coalesce(max(key), 0) FROM posts"
SELECT_POSTS_OF_AUTHOR = """
    SELECT post_id FROM posts WHERE author = ?1 UNION ALL
    SELECT post_id FROM posts WHERE author_hash = ?2"""
INSERT_POST_STUB = "INSERT INTO posts (key, post_id, is_stub, author_hash) VALUES (?, ?, 1, ?)"
INSERT_POST = """
    INSERT INTO posts (key, post_id, is_stub, author, time, tie, image, hashtags, caption,
        like_count, like_time, like_tie, comment_count, comment_time, comment_tie)
    VALUES (?, ?, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
# Counts that are given are of the time and the tie of the content.
INSERT_FRESH_POST = """
    INSERT INTO posts (key, post_id, is_stub, author, time, tie, image, hashtags, caption,
        like_count, like_time, like_tie, comment_count, comment_time, comment_tie)
    VALUES (?1, ?2, 0, ?3, ?4, ?5, ?6, ?7, ?8,
        ?9, iif(?9 IS NULL, NULL, ?4), iif(?9 IS NULL, NULL, ?5),
        ?10, iif(?10 IS NULL, NULL, ?4), iif(?10 IS NULL, NULL, ?5))"""
WRITE_POST_CONTENT = """
    UPDATE posts SET is_stub = 0, author = ?2, author_hash = NULL, time = ?3, tie = ?4,
        image = ?5, hashtags = ?6, caption = ?7
    WHERE key = ?1"""
WRITE_POST_STUB = """
    UPDATE posts SET is_stub = 1, author = NULL, author_hash = ?2, time = NULL, tie = NULL,
        image = NULL, hashtags = NULL, caption = NULL
    WHERE key = ?1"""
WRITE_POST_COUNTS = """
    UPDATE posts SET like_count = ?2, like_time = ?3, like_tie = ?4,
        comment_count = ?5, comment_time = ?6, comment_tie = ?7
    WHERE key = ?1"""
DELETE_EMPTY_POST = """
    DELETE FROM posts
    WHERE key = ?1 AND is_stub AND like_time IS NULL AND comment_time IS NULL
    AND NOT EXISTS (SELECT 1 FROM labels WHERE subject_kind = 'post' AND subject = ?1)"""
SELECT_MENTIONS = """
    SELECT post_id, user_id FROM json_each(?) AS asked CROSS JOIN mentions ON post = asked.value
    CROSS JOIN posts ON posts.key = post CROSS JOIN users ON users.key = user"""
DELETE_MENTIONS = "DELETE FROM mentions WHERE post = ?"
INSERT_MENTION = "INSERT INTO mentions VALUES (?, ?)"

KeyedPost = tuple[int, PostFact]
"""A post's content with the key of its row."""


class Posts:
    """The posts that one transaction speaks of. Load, change, then `flush`, and `sweep` last."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._merge = PostMerge(
            draft=write.draft,
            deleted_at=write.users.deleted_at,
            hash_of=write.tombstones.hash_of,
        )
        self._states = self._merge.states

    def load(self, post_ids: Collection[str]) -> None:
        """Fetch the rows and tombstones of posts."""
        unseen = sorted(set(post_ids).difference(self._states))
        if not unseen:
            return
        for row in self._write.connection.execute(FIND_POSTS, (json_keys(unseen),)):
            state = self._states[row[0]] = _state(*row)
            if state.author_id is not None:
                self._write.draft.authors[state.post_id] = state.author_id
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
            self._insert_stubs([state])
        assert state.key is not None
        return state.key

    def void(self, post_ids: Collection[str], until: int) -> None:
        """Void content, counts and labels of posts up to a time."""
        self.load(post_ids)
        for post_id in post_ids:
            self._merge.void(post_id, until)

    def apply(
        self,
        deletions: Iterable[PostDeletion],
        facts: Collection[PostFact],
        engagements: Iterable[EngagementFact],
        times_told: Mapping[str, int],
    ) -> None:
        """Apply `post.deleted`, `post.created` and `post.engagement` of loaded posts.

        `times_told` says how many facts of the batch speak of each post.
        """
        users = self._write.users
        users.load({fact.user_id for fact in facts}.union(*[fact.mentions for fact in facts]))
        self._merge.delete(deletions)
        users.admit(existing=self._merge.create(facts, times_told))
        self._merge.engage(engagements)
        self._write.num_applied += self._merge.num_applied

    def flush(self) -> None:
        """Write what changed."""
        states = self._states.values()
        came_or_went = {
            state.key: state.post_id
            for state in states
            if state.key is not None and state.is_live != state.was_live
        }
        self._write.draft.add_labels(
            "post", labelled_tasks(self._write.connection, "post", came_or_went)
        )
        known = [state for state in states if state.key is not None]
        new = [state for state in states if state.key is None and state.needs_row]
        stubs = [state for state in new if not state.is_live]
        self._insert_stubs(stubs)
        self._insert_posts([state for state in new if state.is_live])
        self._write_content([state for state in known if state.content_changed])
        self._write_counts([state for state in (*known, *stubs) if state.counts_changed])
        fresh = self._insert_fresh(self._merge.fresh)
        self._write_mentions([*self._new_contents(), *fresh])
        self._write_witnesses()
        self._write.tombstones.bury_posts(
            (state.post_id, state.void_until, state.author_hash)
            for state in states
            if state.tombstone_changed
        )
        self._void_labels()

    def _next_key(self) -> int:
        (last,) = self._write.connection.execute(SELECT_LAST_POST).fetchone()
        return int(last) + 1

    def _give_keys(self, states: list[PostState]) -> None:
        for key, state in enumerate(states, self._next_key()):
            state.key = key

    def _insert_stubs(self, states: list[PostState]) -> None:
        self._give_keys(states)
        self._write.connection.executemany(
            INSERT_POST_STUB,
            [(state.key, state.post_id, state.author_hash) for state in states],
        )

    def _insert_posts(self, states: list[PostState]) -> None:
        self._give_keys(states)
        self._write.connection.executemany(
            INSERT_POST,
            [
                (
                    state.key,
                    state.post_id,
                    *self._content(state.new_content),
                    *_stored(state.likes),
                    *_stored(state.comments),
                )
                for state in states
                if state.new_content
            ],
        )

    def _insert_fresh(self, facts: list[PostFact]) -> list[KeyedPost]:
        posts = list(enumerate(facts, self._next_key()))
        rows = [
            (key, fact.post_id, *self._content(fact), fact.like_count, fact.comment_count)
            for key, fact in posts
        ]
        self._write.connection.executemany(INSERT_FRESH_POST, rows)
        return posts

    def _write_content(self, states: list[PostState]) -> None:
        connection = self._write.connection
        self._clear_mentions([s.key for s in states if s.was_live and s.key is not None])
        connection.executemany(
            WRITE_POST_STUB,
            [(state.key, state.author_hash) for state in states if not state.is_live],
        )
        connection.executemany(
            WRITE_POST_CONTENT,
            [
                (state.key, *self._content(state.new_content))
                for state in states
                if state.new_content
            ],
        )

    def _clear_mentions(self, keys: list[int]) -> None:
        if keys:
            connection = self._write.connection
            self._write.draft.mentions.update(
                connection.execute(SELECT_MENTIONS, (json_keys(keys),))
            )
            connection.executemany(DELETE_MENTIONS, [(key,) for key in keys])

    def _content(self, fact: PostFact) -> tuple[int, int, int, str | None, str, str]:
        """Author, time, tie, image, hashtags and caption."""
        hashtags = to_json(sorted(set(fact.hashtags)))
        author = self._write.users.keys[fact.user_id]
        return author, fact.time, fact.tie, fact.image, hashtags, fact.caption

    def _write_counts(self, states: list[PostState]) -> None:
        self._write.connection.executemany(
            WRITE_POST_COUNTS,
            [(state.key, *_stored(state.likes), *_stored(state.comments)) for state in states],
        )

    def _new_contents(self) -> list[KeyedPost]:
        return [
            (state.key, state.new_content)
            for state in self._states.values()
            if state.key is not None and state.new_content
        ]

    def _write_mentions(self, posts: list[KeyedPost]) -> None:
        mentions = [
            (key, fact.post_id, user_id)
            for key, fact in posts
            if fact.mentions
            for user_id in self._merge.standing_mentions(fact)
        ]
        self._write.draft.mentions.update((post_id, user_id) for _, post_id, user_id in mentions)
        users = self._write.users
        users.admit(existing=(), mentioned={user_id for _, _, user_id in mentions})
        self._write.connection.executemany(
            INSERT_MENTION, [(key, users.keys[user_id]) for key, _, user_id in mentions]
        )

    def _write_witnesses(self) -> None:
        users, witnessed = self._write.users, self._merge.witnessed
        users.load(witnessed)
        users.witness((users.keys[user_id], time) for user_id, time in witnessed.items())

    def _void_labels(self) -> None:
        for post_id, until in self._merge.voided.items():
            key = self._states[post_id].key
            if key is not None:
                void_labels(self._write, "post", key, post_id, until)

    def sweep(self) -> None:
        """Delete the rows of posts of which nothing stands any more."""
        self._write.connection.executemany(
            DELETE_EMPTY_POST,
            [(self._states[post_id].key,) for post_id in self._merge.voided],
        )


def posts_of_author(write: Write, user_id: str) -> list[str]:
    """Posts known to be a user's: those whose content stands, and stubs."""
    key = write.users.keys.get(user_id, NEVER)
    rows = write.connection.execute(
        SELECT_POSTS_OF_AUTHOR, (key, write.tombstones.hash_of(user_id))
    )
    return [post_id for (post_id,) in rows.fetchall()]


def _state(
    post_id: str, key: int, author_id: str | None, author_hash: bytes | None, time: int, tie: int,
    *counts: int | None,
) -> PostState:  # fmt: skip
    return PostState(
        post_id=post_id,
        key=key,
        author_id=author_id,
        author_hash=author_hash,
        time=time,
        tie=tie,
        was_live=time != NEVER,
        likes=_count(*counts[:3]),
        comments=_count(*counts[3:]),
    )


def _count(value: int | None, time: int | None, tie: int | None) -> Count:
    return UNKNOWN if time is None or tie is None else Count(value, time, tie)


def _stored(count: Count) -> tuple[int | None, int | None, int | None]:
    return (None, None, None) if count == UNKNOWN else (count.value, count.time, count.tie)
