"""Rules of the contract: positions move with the data, or neither does."""

from dataclasses import replace

import pytest

from graphdb.errors import PositionConflict
from graphdb.facts import Position, PositionMove
from graphdb.store import GraphStore
from tests.graphdb.made_facts import (
    batch_of,
    engagement,
    follow,
    label,
    move,
    post,
    post_deletion,
    profile,
    user_deletion,
)
from tests.graphdb.mirror import read_state
from tests.graphdb.specification import Fact

EVENTS = Position(source="file:///events.jsonl", partition=0, offset=7, fingerprint="4096:abc")


def in_order(positions: list[Position]) -> list[Position]:
    return sorted(positions, key=lambda position: (position.source, position.partition))


class PositionRules:
    """Positions are the store's own, moved in the transaction of the batch."""

    def test_a_position_is_stored_whole_with_its_batch(self, store: GraphStore) -> None:
        store.apply(batch_of([profile("ann", 1)], [PositionMove(expected=None, next=EVENTS)]))
        assert store.positions() == [EVENTS]
        later = replace(EVENTS, offset=9, fingerprint="4096:def")
        store.apply(batch_of([], [PositionMove(expected=7, next=later)]))
        assert store.positions() == [later]

    def test_a_batch_of_moves_alone_is_a_version(self, store: GraphStore) -> None:
        commit = store.apply(batch_of([], [move(None, 3)]))
        assert (commit.version, commit.num_applied, commit.num_superseded) == (1, 0, 0)
        assert store.digest() == "0" * 32

    def test_partitions_and_sources_have_positions_of_their_own(self, store: GraphStore) -> None:
        moves = [move(None, 1), move(None, 2, partition=1), move(None, 3, source="other")]
        store.apply(batch_of([], moves))
        store.apply(batch_of([], [move(2, 2**62, partition=1)]))
        assert in_order(store.positions("events")) == [
            Position(source="events", partition=0, offset=1),
            Position(source="events", partition=1, offset=2**62),
        ]
        assert store.positions("other") == [Position(source="other", partition=0, offset=3)]
        assert len(store.positions()) == 3
        assert store.positions("none") == []

    @pytest.mark.parametrize("expected", [None, 0, 4, 6])
    def test_another_position_than_expected_rolls_back_all(
        self, store: GraphStore, expected: int | None
    ) -> None:
        kept: list[Fact] = [profile("ann", 1), post("p", "ann", 1), follow("ann", "bob", 1)]
        store.apply(batch_of(kept, [move(None, 5), move(None, 1, partition=1)]))
        before = (store.head(), read_state(store), in_order(store.positions()))
        facts: list[Fact] = [
            profile("eve", 2),
            post("q", "eve", 2),
            engagement("p", 2, likes=1, comments=1),
            label("user", "ann", 2, "a"),
            follow("eve", "ann", 2),
            user_deletion("bob", 2),
            post_deletion("p", 2),
        ]
        moves = [move(1, 2, partition=1), move(expected, 9)]
        for ordered in (moves, moves[::-1]):
            with pytest.raises(PositionConflict):
                store.apply(batch_of(facts, ordered))
        assert (store.head(), read_state(store), in_order(store.positions())) == before
        assert list(store.changes(before[0].version)) == []
        store.apply(batch_of(facts, [move(1, 2, partition=1), move(5, 9)]))
        assert store.user_ids() == ["ann", "eve"]
        assert [position.offset for position in in_order(store.positions())] == [9, 2]

    def test_what_was_voided_by_a_rolled_back_deletion_is_not_void(self, store: GraphStore) -> None:
        with pytest.raises(PositionConflict):
            store.apply(batch_of([user_deletion("ann", 9), post_deletion("p", 9)], [move(1, 2)]))
        store.apply(batch_of([profile("ann", 5), post("p", "ann", 5)]))
        assert len(store.profiles(["ann"])) == len(store.posts(["p"])) == 1

    def test_the_first_move_expects_nothing(self, store: GraphStore) -> None:
        with pytest.raises(PositionConflict):
            store.apply(batch_of([], [move(0, 1)]))
        assert store.positions() == []
        assert store.head().version == 0

    def test_a_conflict_names_the_source(self, store: GraphStore) -> None:
        with pytest.raises(PositionConflict, match=r"topic-x"):
            store.apply(batch_of([], [move(4, 5, source="topic-x")]))

    def test_positions_can_be_set(self, store: GraphStore) -> None:
        store.apply(batch_of([profile("ann", 1)], [move(None, 5), move(None, 6, partition=1)]))
        before = store.digest()
        store.set_positions([EVENTS, Position(source="events", partition=0, offset=0)])
        assert in_order(store.positions()) == [
            Position(source="events", partition=0, offset=0),
            Position(source="events", partition=1, offset=6),
            EVENTS,
        ]
        assert store.digest() == before
        store.apply(batch_of([profile("ann", 1)], [move(0, 5)]))

    def test_a_batch_without_moves_may_be_repeated(self, store: GraphStore) -> None:
        facts: list[Fact] = [
            profile("ann", 1),
            post("p", "ann", 1, mentions=["bob"]),
            engagement("p", 2, likes=1, comments=1),
            label("post", "p", 2, "a"),
            follow("ann", "eve", 2),
            user_deletion("bob", 2),
            post_deletion("q", 2),
        ]
        first = store.apply(batch_of(facts))
        assert (first.num_applied, first.num_superseded) == (len(facts), 0)
        before = read_state(store)
        again = store.apply(batch_of(facts))
        assert (again.num_applied, again.num_superseded) == (0, len(facts))
        assert read_state(store) == before

    def test_late_and_void_facts_are_counted_as_superseded(self, store: GraphStore) -> None:
        store.apply(batch_of([profile("ann", 5), follow("ann", "bob", 5), user_deletion("eve", 5)]))
        late: list[Fact] = [profile("ann", 4), follow("ann", "bob", 4), profile("eve", 5)]
        commit = store.apply(batch_of([*late, profile("zoe", 1)]))
        assert (commit.num_applied, commit.num_superseded) == (1, 3)
