"""A store and the oracle are given the same random life; they must never differ.

Time, keys and texts are few, so that facts collide. The deep run of the same machine, and the
one whose writers are killed between two statements, are marked slow.
"""

import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from graphdb import open_graph
from graphdb.errors import ChangesTrimmed, PositionConflict
from graphdb.facts import Batch, Position
from graphdb.store import Change, Commit, Direction, GraphStore
from tests.graphdb.killed import in_child_killed_at
from tests.graphdb.made_facts import batch_of, move
from tests.graphdb.mirror import KINDS, Mirror, read_state
from tests.graphdb.oracle import GraphOracle, num_keys
from tests.graphdb.specification import Fact, facts_of
from tests.graphdb.strategies import SMILE, USERS, facts

DIRECTIONS: tuple[Direction, ...] = ("followers", "followees", "mutual")
MANY_ROWS = 2**40
NEVER_COMMITTED = 2**62
partitions = st.integers(0, 1)


class GraphMachine(RuleBasedStateMachine):
    """Drives the embedded store and the oracle in lockstep."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.oracle = GraphOracle()
        self.store: GraphStore = self.opened()
        self.mirror = Mirror(self.store)
        self.applied: list[Batch] = []
        self.trimmed_to = 0

    def opened(self, *, read_only: bool = False) -> GraphStore:
        path = Path(self.folder.name) / "graph.db"
        return open_graph(f"sqlite:///{path}", read_only=read_only)

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    def offset(self, partition: int) -> int | None:
        stored = self.oracle.memory.positions.get(("events", partition))
        return stored.offset if stored else None

    @initialize(said=st.lists(facts, min_size=10, max_size=40))
    def begin(self, said: list[Fact]) -> None:
        """Enough to collide with; shrinking an example comes down to ten facts here."""
        self.graph_id = self.store.graph_id
        self.commit(batch_of(said))

    @rule(said=st.lists(facts, min_size=2, max_size=20), partition=partitions, repeat=st.booleans())
    def apply(self, said: list[Fact], partition: int, repeat: bool) -> None:
        """A batch that moves a position; some hold their facts twice."""
        offset = self.offset(partition)
        moves = [move(offset, (offset or 0) + len(said), partition=partition)]
        self.commit(batch_of([*said, *reversed(said)] if repeat else said, moves))

    @rule(said=st.lists(facts, min_size=1, max_size=12))
    def apply_in_pieces(self, said: list[Fact]) -> None:
        """The facts one by one, without positions."""
        for fact in said:
            self.commit(batch_of([fact]))

    @precondition(lambda self: self.applied)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """What was said before, in another order, changes nothing and tells of nothing."""
        said = [fact for batch in self.applied for fact in facts_of(batch)]
        again = data.draw(st.lists(st.sampled_from(said), max_size=10)) if said else []
        before = self.store.head().version
        commit = self.commit(batch_of(again))
        assert commit.num_applied == 0
        assert sum(num_keys(change) for change in self.store.changes(before)) == 0

    @rule(said=st.lists(facts, max_size=12), partition=partitions, by=st.integers(-3, 3))
    def apply_at_a_stale_position(self, said: list[Fact], partition: int, by: int) -> None:
        """Another position than the stored one is refused, and nothing happens."""
        offset = self.offset(partition)
        expected = by if offset is None else None if by == 0 else offset + by
        other = move(self.offset(1 - partition), 99, partition=1 - partition)
        batch = batch_of(said, [other, move(expected, 99, partition=partition)])
        for store in (self.oracle, self.store):
            with pytest.raises(PositionConflict):
                store.apply(batch)

    @rule(partition=partitions, offset=st.integers(0, 5))
    def set_position(self, partition: int, offset: int) -> None:
        position = Position(source="events", partition=partition, offset=offset, fingerprint="f")
        for store in (self.oracle, self.store):
            store.set_positions([position])

    @rule(user_id=st.sampled_from([SMILE, "nobody"]))
    def erase(self, user_id: str) -> None:
        before = self.oracle.state
        self.compare_commits(self.oracle.erase(user_id), self.store.erase(user_id))
        assert self.oracle.state == before or self.store.digest() == self.oracle.digest()

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = self.opened()
        assert self.store.graph_id == self.graph_id

    @rule()
    def abandon(self) -> None:
        """A handle that is not closed, as that of a process that lives on, is no obstacle."""
        abandoned, self.store = self.store, self.opened()
        self.commit(batch_of([]))
        assert abandoned.head() == self.store.head()
        abandoned.close()

    @rule(back=st.integers(0, 3))
    def trim(self, back: int) -> None:
        """Drop all but the newest versions; the feed then begins there and says so."""
        kept = list(self.store.changes(self.trimmed_to))[-back:] if back else []
        older_than = kept[0].commit_time if kept else NEVER_COMMITTED
        self.store.trim_changes(older_than=older_than, max_rows=MANY_ROWS)
        head = self.store.head().version
        self.trimmed_to = max(self.trimmed_to, kept[0].version - 1 if kept else head)
        assert [change.version for change in self.store.changes(self.trimmed_to)] == [
            change.version for change in kept
        ]
        dropped = [c for c in self.oracle.memory.changes if c.version <= self.trimmed_to]
        if told := [change.version for change in dropped if num_keys(change)]:
            with pytest.raises(ChangesTrimmed):
                list(self.store.changes(told[-1] - 1))

    def commit(self, batch: Batch) -> Commit:
        """Apply to both; the store's feed must tell at least what the oracle's does."""
        self.applied.append(batch)
        ours, theirs = self.oracle.apply(batch), self.store.apply(batch)
        self.compare_commits(ours, theirs)
        assert theirs.num_applied + theirs.num_superseded == len(facts_of(batch))
        return theirs

    def compare_commits(self, ours: Commit, theirs: Commit) -> None:
        assert theirs.version == ours.version
        told = list(self.store.changes(ours.version - 1))
        assert_tells(self.oracle.memory.changes[-1], told)

    @invariant()
    def the_store_is_the_oracle(self) -> None:
        state = read_state(self.store)
        assert state == self.oracle.state
        assert self.store.digest() == self.oracle.digest()
        assert self.store.counts() == self.oracle.counts()
        assert self.store.posts(sorted(state.posts)) == self.oracle.posts(sorted(state.posts))
        assert self.store.posts_of(USERS) == self.oracle.posts_of(USERS)
        for kind in KINDS:
            assert self.store.labels(kind) == self.oracle.labels(kind)
        assert by_partition(self.store) == by_partition(self.oracle)
        assert self.store.head().version == self.oracle.head().version
        for user_id in state.profiles:
            for direction in DIRECTIONS:
                expected = self.oracle.neighbours(user_id, direction)
                assert self.store.neighbours(user_id, direction) == expected

    @invariant()
    def a_mirror_of_the_feed_is_the_state(self) -> None:
        if self.mirror.version < self.trimmed_to:
            self.mirror = Mirror(self.store)
        self.mirror.catch_up(self.store)
        self.mirror.assert_equal(self.oracle.state)


def by_partition(store: GraphStore) -> list[Position]:
    return sorted(store.positions(), key=lambda position: position.partition)


def assert_tells(least: Change, told: list[Change]) -> None:
    """Fail where the feed does not name a key that changed, or names it otherwise."""
    for kind in ("users", "follows", "labels"):
        keys = {key for change in told for key in getattr(change, kind)}
        assert keys >= set(getattr(least, kind)), kind
    for post in least.posts:
        found = [each for change in told for each in change.posts if each[:2] == post[:2]]
        assert any(each.content_changed for each in found) or (found and not post.content_changed)
        assert {user for each in found for user in each.mentioned} >= set(post.mentioned)


class KilledWriters(GraphMachine):
    """As above, and some batches are applied by a process that is killed meanwhile."""

    @rule(
        said=st.lists(facts, min_size=1, max_size=12),
        partition=partitions,
        num_statements=st.integers(10, 110),
    )
    def apply_and_be_killed(self, said: list[Fact], partition: int, num_statements: int) -> None:
        """The stored position alone tells whether the batch was committed: then it was whole."""
        offset = self.offset(partition)
        following = (offset or 0) + 1
        batch = batch_of(said, [move(offset, following, partition=partition)])
        self.store.close()
        in_child_killed_at(num_statements, lambda: self.opened().apply(batch))
        reader = self.opened(read_only=True)
        found = (reader.digest(), reader.positions())
        reader.close()
        self.store = self.opened()
        assert (self.store.digest(), self.store.positions()) == found
        if move(None, following, partition=partition).next in self.store.positions():
            self.applied.append(batch)
            self.oracle.apply(batch)


def test_the_store_is_the_oracle() -> None:
    run_state_machine_as_test(
        GraphMachine, settings=settings(max_examples=90, stateful_step_count=25)
    )


@pytest.mark.slow
def test_a_killed_writer_leaves_all_or_nothing() -> None:
    run_state_machine_as_test(
        KilledWriters, settings=settings(max_examples=45, stateful_step_count=20)
    )


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_the_store_is_the_oracle_for_long() -> None:
    run_state_machine_as_test(
        KilledWriters, settings=settings(max_examples=100, stateful_step_count=40)
    )
