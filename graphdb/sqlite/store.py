"""The embedded graph store: the `GraphStore` contract on one SQLite file."""

import contextlib
import logging
import sqlite3
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graphdb.errors import GraphError
from graphdb.facts import FOREVER, Batch, Position, PositionMove, SubjectKind, UserDeletion
from graphdb.rules.batches import num_facts, post_ids
from graphdb.rules.draft import Draft
from graphdb.sqlite import reading, sampling
from graphdb.sqlite.connection import Database
from graphdb.sqlite.deletions import (
    Piece,
    ahead_of,
    apply_user_deletions,
    settle_deleted,
)
from graphdb.sqlite.feed import append_change, read_changes, trim_changes
from graphdb.sqlite.follows import (
    FOLLOWS_A_MERGE,
    MAX_RECENT_FOLLOWS,
    apply_follows,
    count_recent,
    merge_recent,
)
from graphdb.sqlite.labels import apply_labels
from graphdb.sqlite.meta import create_where_absent, identity, read_head, write_head
from graphdb.sqlite.positions import check_moves, read_positions, write_positions
from graphdb.sqlite.posts import Posts
from graphdb.sqlite.profiles import apply_profiles
from graphdb.sqlite.tombstones import Tombstones
from graphdb.sqlite.users import MAX_CACHED_USERS, UserCache, Users
from graphdb.sqlite.write import Write
from graphdb.store import (
    Change,
    Commit,
    Direction,
    Follows,
    GraphCounts,
    Head,
    Label,
    Post,
    Profile,
    Relation,
)

logger = logging.getLogger(__name__)


class SqliteGraph:
    """A graph in one file: one writer at a time, any number of reading processes."""

    def __init__(self, database: Database, *, graph_id: str, tombstone_key: bytes) -> None:
        self._database = database
        self._graph_id = graph_id
        self._tombstone_key = tombstone_key
        self._cache = UserCache()

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False) -> "SqliteGraph":
        """Open the graph at `path`; a writer creates it where there is none."""
        database = Database.open(path, read_only=read_only)
        try:
            if not read_only:
                create_where_absent(database)
            graph_id, tombstone_key = identity(database)
        except BaseException:
            database.close()
            raise
        return cls(database, graph_id=graph_id, tombstone_key=tombstone_key)

    @property
    def graph_id(self) -> str:
        """Random identity of this graph."""
        return self._graph_id

    def is_replaced(self) -> bool:
        """Whether the path names another file now, or none."""
        return self._database.is_replaced()

    def apply(self, batch: Batch) -> Commit:
        """Commit facts and positions in one transaction, as one new version.

        1. Deletions that void more than 10,000 facts void them ahead, in transactions (and
           versions) of their own that leave the positions where they are.
        2. In one transaction: positions are checked; deletions void what stands; facts that no
           deletion voids are merged, the newest winning; the changed keys go to the feed, the
           positions and the version move.
        3. Recent follows are merged into the main level when there are many, and the
           write-ahead log is emptied when it is large. Should that fail, it is logged and left
           to the next commit: this one stands.
        """
        for pieces in self._ahead_of(batch):
            with self._write(batch.moves) as write:
                for piece in pieces:
                    piece(write)
                self._advance(write)
        with self._write(batch.moves) as write:
            _apply_facts(write, batch)
            write_positions(write.connection, [move.next for move in batch.moves])
            head = self._advance(write)
            num_recent = count_recent(write.connection)
        self._merge_recent(num_recent)
        return Commit(
            version=head.version,
            commit_time=head.commit_time,
            num_applied=write.num_applied,
            num_superseded=num_facts(batch) - write.num_applied,
        )

    def _ahead_of(self, batch: Batch) -> Sequence[Sequence[Piece]]:
        if not batch.user_deletions:
            return ()
        with self._database.reading() as connection:
            return ahead_of(self._begin(connection, UserCache()), batch.user_deletions)

    def _merge_recent(self, num_recent: int) -> None:
        if num_recent < MAX_RECENT_FOLLOWS:
            return
        try:
            for _ in range(0, num_recent, FOLLOWS_A_MERGE):
                with self._database.writing() as connection:
                    merge_recent(connection)
        except GraphError as error:
            logger.warning("recent follows wait for the next commit: %s", error)

    @contextlib.contextmanager
    def _write(self, moves: Sequence[PositionMove]) -> Iterator[Write]:
        """One write transaction; when it fails, what the cache learned in it is forgotten."""
        try:
            with self._database.writing() as connection:
                check_moves(connection, moves)
                yield self._begin(connection, self._cache)
        except BaseException:
            self._cache.forget()
            raise

    def _begin(self, connection: sqlite3.Connection, cache: UserCache) -> Write:
        if cache.version != read_head(connection).version or len(cache.keys) > MAX_CACHED_USERS:
            cache.forget()
        draft = Draft()
        tombstones = Tombstones(connection, self._tombstone_key)
        return Write(
            connection=connection,
            tombstones=tombstones,
            users=Users(connection, tombstones, draft, cache),
            draft=draft,
        )

    def _advance(self, write: Write) -> Head:
        """Give the transaction the next version and its row in the feed."""
        last = read_head(write.connection)
        now = time.time_ns() // 1000
        head = Head(version=last.version + 1, commit_time=max(now, last.commit_time + 1))
        append_change(write.connection, write.draft, head)
        write_head(write.connection, head)
        self._cache.version = head.version
        return head

    def positions(self, source: str | None = None) -> list[Position]:
        """Stored positions, of one source or of all."""
        with self._database.reading() as connection:
            return read_positions(connection, source)

    def set_positions(self, positions: Sequence[Position]) -> None:
        """Overwrite positions in a transaction of their own."""
        with self._database.writing() as connection:
            write_positions(connection, positions)

    def head(self) -> Head:
        """The newest version."""
        with self._database.reading() as connection:
            return read_head(connection)

    def changes(self, since: int) -> Iterator[Change]:
        """Changes of the versions above `since`, ascending; raises ChangesTrimmed."""
        return read_changes(self._database, since)

    def trim_changes(self, *, older_than: int, max_rows: int) -> int:
        """Drop changes that are too old or too many; return how many versions went."""
        return trim_changes(self._database, older_than=older_than, max_rows=max_rows)

    def counts(self) -> GraphCounts:
        """Sizes of the graph, stubs and tombstones left out."""
        with self._database.reading() as connection:
            return reading.read_counts(connection)

    def user_ids(self, *, after: str | None = None, limit: int = 10_000) -> list[str]:
        """A page of existing users in ascending order of the id's UTF-8 bytes."""
        with self._database.reading() as connection:
            return reading.page_user_ids(connection, after, limit)

    def profiles(self, user_ids: Sequence[str]) -> list[Profile]:
        """Those of the users that exist, in the order asked."""
        with self._database.reading() as connection:
            return reading.read_profiles(connection, user_ids)

    def posts(self, post_ids: Sequence[str]) -> list[Post]:
        """Those of the posts that are live, in the order asked."""
        with self._database.reading() as connection:
            return reading.read_posts(connection, post_ids)

    def posts_of(self, user_ids: Sequence[str]) -> list[Post]:
        """Live posts of these users: users in the order asked, newest first (then by id)."""
        with self._database.reading() as connection:
            return reading.read_posts_of(connection, user_ids)

    def labels(
        self,
        subject_kind: SubjectKind,
        *,
        task: str | None = None,
        subject_ids: Sequence[str] | None = None,
    ) -> list[Label]:
        """Standing labels in ascending order of (subject, task, annotator)."""
        with self._database.reading() as connection:
            return list(reading.read_labels(connection, subject_kind, task, subject_ids))

    def neighbours(self, user_id: str, direction: Direction) -> list[str]:
        """Users at the other end of the live follows of one user, ascending."""
        with self._database.reading() as connection:
            return reading.read_neighbours(connection, user_id, direction)

    def sample(
        self,
        user_ids: Sequence[str],
        relation: Relation,
        fan_out: int,
        *,
        without_folds: Collection[int] = (),
        seed: int,
    ) -> list[list[str]]:
        """Up to `fan_out` neighbours of each user, uniform without replacement (-1: all)."""
        with self._database.reading() as connection:
            return sampling.read_sample(
                connection, user_ids, relation, fan_out, without_folds=without_folds, seed=seed
            )

    def degrees(
        self, user_ids: Sequence[str], relation: Relation, *, without_folds: Collection[int] = ()
    ) -> NDArray[np.int64]:
        """Number of neighbours of each user, 0 for an unknown one."""
        with self._database.reading() as connection:
            return sampling.read_degrees(
                connection, user_ids, relation, without_folds=without_folds
            )

    def follows_among(
        self, follower_ids: Sequence[str], followee_ids: Sequence[str]
    ) -> NDArray[np.int64]:
        """Live follows from any of these to any of those: positions in both sequences (F, 2)."""
        with self._database.reading() as connection:
            return sampling.read_follows_among(connection, follower_ids, followee_ids)

    def follows(self) -> Follows:
        """Bulk export of the live follows, of one version, ascending by both ends."""
        with self._database.reading() as connection:
            return reading.read_follows(connection)

    def erase(self, user_id: str) -> Commit:
        """Delete a user and void, for ever, whatever is said about them."""
        return self.apply(Batch(user_deletions=[UserDeletion(user_id=user_id, time=FOREVER)]))

    def digest(self) -> str:
        """A hash of the content, in 32 hexadecimal digits: equal for equal states."""
        with self._database.reading() as connection:
            return reading.state_digest(connection)

    def close(self) -> None:
        """Release the store; using it afterwards is an error."""
        self._database.close()


def _apply_facts(write: Write, batch: Batch) -> None:
    """Deletions first: whatever they void, in the store or in the batch, is then left out."""
    posts = Posts(write)
    times_told = post_ids(batch)
    posts.load(times_told)
    apply_user_deletions(write, posts, batch.user_deletions)
    posts.apply(batch.post_deletions, batch.posts, batch.engagements, times_told)
    posts.flush()
    apply_profiles(write, batch.profiles)
    apply_follows(write, batch.follows)
    apply_labels(write, batch.labels, post_void_until=posts.void_until, post_key_of=posts.key)
    posts.sweep()
    settle_deleted(write)
