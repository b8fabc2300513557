"""The graph store on a Neo4j server: the `GraphStore` contract on one of its databases."""

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from graphdb.errors import GraphUnavailable
from graphdb.facts import FOREVER, Batch, Position, PositionMove, SubjectKind, UserDeletion
from graphdb.neo4j import reading, sampling
from graphdb.neo4j.address import Address
from graphdb.neo4j.batch_plan import BatchPlan
from graphdb.neo4j.connection import Database, Transaction
from graphdb.neo4j.deletions import Piece, ahead_of, apply_user_deletions
from graphdb.neo4j.engagement import apply_engagements
from graphdb.neo4j.feed import append_change, read_changes, trim_changes
from graphdb.neo4j.follows import apply_follows
from graphdb.neo4j.labels import apply_labels
from graphdb.neo4j.positions import (
    check_positions,
    move_positions,
    read_positions,
    write_positions,
)
from graphdb.neo4j.posts import Posts
from graphdb.neo4j.profiles import apply_profiles
from graphdb.neo4j.schema import create_where_absent, identity
from graphdb.neo4j.tombstones import Tombstones
from graphdb.neo4j.users import UserCache, Users
from graphdb.neo4j.version import advance, lock, read_graph_id, read_head
from graphdb.neo4j.write import ANYTHING, Present, Write
from graphdb.rules.batches import num_facts, post_ids
from graphdb.rules.draft import Draft
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

Result = TypeVar("Result")

HEAD_RETRY_SECONDS = 1.0
"""Who asks for the head alone would rather serve without it than wait."""


class Neo4jGraph:
    """A graph in a database of its own: any number of processes write, one at a time."""

    def __init__(self, database: Database, *, graph_id: str, tombstone_key: bytes) -> None:
        self._database = database
        self._graph_id = graph_id
        self._tombstone_key = tombstone_key
        self._cache = UserCache()
        self._turn = threading.RLock()

    @classmethod
    def open(cls, url: str, *, read_only: bool = False) -> "Neo4jGraph":
        """Open the graph at `url`; a writer creates it in an empty database."""
        database = Database.open(Address.parse(url), read_only=read_only)
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
        """Whether the database holds another graph now, or none."""
        return self._database.read(read_graph_id) != self._graph_id

    def prepare(self, batch: Batch) -> Batch:
        """The batch with its follows and engagements sorted out."""
        return replace(batch, prepared=BatchPlan.of(batch))

    def apply(self, batch: Batch) -> Commit:
        """Commit facts and positions in one transaction, as one new version.

        1. Deletions that void more than 10,000 facts void them ahead, in transactions (and
           versions) of their own that leave the positions where they are.
        2. In one transaction: the version is advanced, which waits for other writers; positions
           are checked and moved; deletions void what stands; facts that no deletion voids are
           merged, the newest winning; the changed keys and the commit time go to the feed.

        Raises CommitUnknown when the connection broke between the commit and its answer, unless
        the batch has no moves: then it is applied again.
        """
        for piece in self._ahead_of(batch):
            while self._write(batch.moves, piece, ahead=True)[1]:
                pass
        plan = batch.prepared or BatchPlan.of(batch)
        assert isinstance(plan, BatchPlan)
        write, _, head = self._write(batch.moves, lambda write: _apply_facts(write, batch, plan))
        return Commit(
            version=head.version,
            commit_time=head.commit_time,
            num_applied=write.num_applied,
            num_superseded=num_facts(batch) - write.num_applied,
        )

    def _ahead_of(self, batch: Batch) -> list[Piece]:
        if not batch.user_deletions:
            return []
        return self._database.read(
            lambda tx: ahead_of(self._begin(tx, UserCache()), batch.user_deletions)
        )

    def _write(
        self, moves: Sequence[PositionMove], work: Callable[[Write], Result], *, ahead: bool = False
    ) -> tuple[Write, Result, Head]:
        """One commit; where the driver runs it again, the cache forgets what the first run left.

        One that goes `ahead` of its batch leaves the positions where they are expected to be.
        """

        def unit(tx: Transaction) -> tuple[Write, Result, Head]:
            version, last_commit_time, buried_at, *counts = self._advance(tx)
            (check_positions if ahead else move_positions)(tx, moves)
            self._cache.catch_up(version=version, buried_at=buried_at)
            write = self._begin(tx, self._cache, Present(*map(bool, counts)))
            result = work(write)
            return write, result, append_change(tx, write.draft, last_commit_time)

        with self._turn:
            try:
                write, result, head = self._database.write(unit, repeatable=ahead or not moves)
            except BaseException:
                self._cache.forget()
                raise
            self._cache.version = head.version
        return write, result, head

    def _advance(self, tx: Transaction) -> list[int]:
        graph_id, *numbers = advance(tx) or [None]
        if graph_id != self._graph_id:
            raise GraphUnavailable(
                f"the graph at {self._database.address} is not the one that was opened: it was "
                "deleted or restored since; start again"
            )
        return numbers

    def _begin(self, tx: Transaction, cache: UserCache, present: Present = ANYTHING) -> Write:
        draft = Draft()
        tombstones = Tombstones(
            tx,
            self._tombstone_key,
            have_users=present.user_tombstones,
            have_posts=present.post_tombstones,
        )
        return Write(
            tx=tx,
            tombstones=tombstones,
            users=Users(tx, tombstones, draft, cache),
            draft=draft,
            present=present,
        )

    def positions(self, source: str | None = None) -> list[Position]:
        """Stored positions, of one source or of all."""
        return self._database.read(lambda tx: read_positions(tx, source))

    def set_positions(self, positions: Sequence[Position]) -> None:
        """Overwrite positions in a transaction of their own."""

        def unit(tx: Transaction) -> None:
            lock(tx)
            write_positions(tx, positions)

        self._database.write(unit, repeatable=True)

    def head(self) -> Head:
        """The newest version; raises GraphUnreachable within about a second without an answer."""
        return self._database.read(read_head, retry_seconds=HEAD_RETRY_SECONDS)

    def changes(self, since: int) -> Iterator[Change]:
        """Changes of the versions above `since`, ascending; raises ChangesTrimmed."""
        return read_changes(self._database, since)

    def trim_changes(self, *, older_than: int, max_rows: int) -> int:
        """Drop changes that are too old or too many; return how many versions went."""
        return trim_changes(self._database, older_than=older_than, max_rows=max_rows)

    def counts(self) -> GraphCounts:
        """Sizes of the graph, stubs and tombstones left out."""
        return reading.read_counts(self._database)

    def user_ids(self, *, after: str | None = None, limit: int = 10_000) -> list[str]:
        """A page of existing users in ascending order of the id's UTF-8 bytes."""
        return reading.page_user_ids(self._database, after, limit)

    def profiles(self, user_ids: Sequence[str]) -> list[Profile]:
        """Those of the users that exist, in the order asked."""
        return reading.read_profiles(self._database, user_ids)

    def posts(self, post_ids: Sequence[str]) -> list[Post]:
        """Those of the posts that are live, in the order asked."""
        return reading.read_posts(self._database, post_ids)

    def posts_of(self, user_ids: Sequence[str]) -> list[Post]:
        """Live posts of these users: users in the order asked, newest first (then by id)."""
        return reading.read_posts_of(self._database, user_ids)

    def labels(
        self,
        subject_kind: SubjectKind,
        *,
        task: str | None = None,
        subject_ids: Sequence[str] | None = None,
    ) -> list[Label]:
        """Standing labels in ascending order of (subject, task, annotator)."""
        return reading.read_labels(self._database, subject_kind, task, subject_ids)

    def neighbours(self, user_id: str, direction: Direction) -> list[str]:
        """Users at the other end of the live follows of one user, ascending."""
        return reading.read_neighbours(self._database, user_id, direction)

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
        return sampling.read_sample(
            self._database, user_ids, relation, fan_out, without_folds=without_folds, seed=seed
        )

    def degrees(
        self, user_ids: Sequence[str], relation: Relation, *, without_folds: Collection[int] = ()
    ) -> NDArray[np.int64]:
        """Number of neighbours of each user, 0 for an unknown one."""
        return sampling.read_degrees(
            self._database, user_ids, relation, without_folds=without_folds
        )

    def follows_among(
        self, follower_ids: Sequence[str], followee_ids: Sequence[str]
    ) -> NDArray[np.int64]:
        """Live follows from any of these to any of those: positions in both sequences (F, 2)."""
        return sampling.read_follows_among(self._database, follower_ids, followee_ids)

    def follows(self) -> Follows:
        """Bulk export of the live follows, ascending by both ends.

        It holds all of the head that was read before it, and may hold parts of later commits.
        """
        return reading.read_follows(self._database)

    def erase(self, user_id: str) -> Commit:
        """Delete a user and void, for ever, whatever is said about them."""
        return self.apply(Batch(user_deletions=[UserDeletion(user_id=user_id, time=FOREVER)]))

    def digest(self) -> str:
        """A hash of the content, in 32 hexadecimal digits: equal for equal states."""
        return reading.state_digest(self._database)

    def close(self) -> None:
        """Release the store; using it afterwards is an error."""
        self._database.close()


def _apply_facts(write: Write, batch: Batch, plan: BatchPlan) -> None:
    """Deletions first: whatever they void, in the store or in the batch, is then left out."""
    posts = Posts(write)
    engagements = plan.engagements.others + apply_engagements(write, plan.engagements.alone)
    times_told = post_ids(replace(batch, engagements=engagements))
    posts.load(times_told)
    apply_user_deletions(write, posts, batch.user_deletions)
    posts.apply(batch.post_deletions, batch.posts, engagements, times_told)
    posts.flush()
    apply_profiles(write, batch.profiles)
    apply_follows(write, plan.follows)
    apply_labels(
        write, batch.labels, post_void_until=posts.void_until, post_label_of=posts.label_of
    )
    posts.sweep()
    write.users.settle()
