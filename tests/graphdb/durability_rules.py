"""Rules of the contract: what is committed outlives the store that committed it."""

import pytest

from graphdb.errors import ChangesTrimmed, PositionConflict
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
    unfollow,
    user_deletion,
)
from tests.graphdb.mirror import read_state
from tests.graphdb.orders import OpenStore
from tests.graphdb.specification import Fact

SEEN: list[Fact] = [
    profile("ann", 3),
    follow("ann", "bob", 3),
    post("p", "ann", 3, mentions=["zoe"]),
    label("user", "ann", 3, "a"),
]
REMEMBERED: list[Fact] = [
    unfollow("ann", "eve", 9),
    user_deletion("gone", 9),
    post_deletion("q", 9),
    engagement("early", 9, likes=1, comments=1),
    label("user", "bob", 9),
]


class DurabilityRules:
    """A store opened again is the store that was closed."""

    def test_a_store_opened_again_is_the_same(self, open_store: OpenStore) -> None:
        store = open_store("graph")
        store.apply(batch_of([*SEEN, *REMEMBERED], [move(None, 7)]))
        before = (store.graph_id, store.head(), store.positions(), store.digest())
        state, changes = read_state(store), list(store.changes(0))
        store.close()
        store = open_store("graph")
        assert (store.graph_id, store.head(), store.positions(), store.digest()) == before
        assert read_state(store) == state
        assert [change.version for change in store.changes(0)] == [1]
        assert list(store.changes(0)) == changes
        store.close()

    def test_tombstones_and_stubs_outlive_the_store(self, open_store: OpenStore) -> None:
        store = open_store("graph")
        store.apply(batch_of(REMEMBERED))
        store.erase("erased")
        store.close()
        store = open_store("graph")
        facts: list[Fact] = [
            follow("ann", "eve", 8),
            profile("gone", 8),
            profile("erased", 2**60),
            post("q", "ann", 8),
            post("early", "ann", 8, like_count=5),
            follow("ann", "bob", 8),
            label("user", "bob", 8, "a"),
        ]
        store.apply(batch_of(facts))
        assert store.user_ids() == ["ann", "bob", "eve"]
        assert store.neighbours("ann", "followees") == ["bob"]
        assert [(found.post_id, found.like_count) for found in store.posts_of(["ann"])] == [
            ("early", 1)
        ]
        assert store.labels("user") == []
        store.close()

    def test_positions_and_versions_go_on_after_opening(self, open_store: OpenStore) -> None:
        times = []
        for number in range(4):
            store = open_store("graph")
            offset = number or None
            with pytest.raises(PositionConflict):
                store.apply(batch_of([profile("x", 1)], [move(99, 100)]))
            commit = store.apply(batch_of([profile("ann", number)], [move(offset, number + 1)]))
            assert commit.version == number + 1
            times.append(commit.commit_time)
            store.close()
        assert times == sorted(set(times))

    def test_trimming_outlives_the_store(self, open_store: OpenStore) -> None:
        store = open_store("graph")
        for number in range(3):
            store.apply(batch_of([profile("ann", number)]))
        store.trim_changes(older_than=0, max_rows=1)
        store.close()
        store = open_store("graph")
        assert [change.version for change in store.changes(2)] == [3]
        with pytest.raises(ChangesTrimmed):
            list(store.changes(1))
        store.trim_changes(older_than=0, max_rows=0)
        store.close()
        store = open_store("graph")
        assert list(store.changes(3)) == []
        with pytest.raises(ChangesTrimmed):
            list(store.changes(2))
        store.close()

    def test_each_graph_has_an_identity_of_its_own(self, open_store: OpenStore) -> None:
        stores: list[GraphStore] = [open_store("one"), open_store("two")]
        assert len({store.graph_id for store in stores} | {""}) == 3
        for store in stores:
            store.close()
