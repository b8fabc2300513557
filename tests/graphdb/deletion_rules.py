"""Rules of the contract: what a deletion voids, whenever it arrives, and what it leaves."""

import pytest

from graphdb.errors import PositionConflict
from graphdb.store import GraphStore, PostChange
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
from tests.graphdb.mirror import Mirror, read_state
from tests.graphdb.orders import OpenStore, in_every_order
from tests.graphdb.specification import Fact, digest, graph_state
from tests.graphdb.state_rules import bare

LATEST = 2**60
"""Long after the last time that an event may have."""
BIG = 10_500


class DeletionRules:
    """A deletion at T voids what has time T or an earlier one; what is later stands."""

    def test_a_user_goes_with_all_that_is_said_of_them(self, open_store: OpenStore) -> None:
        facts: list[Fact] = [
            profile("ann", 1),
            follow("ann", "bob", 2),
            follow("bob", "ann", 3),
            post("p", "ann", 4, like_count=1),
            post("q", "bob", 4, mentions=["ann", "eve"]),
            label("user", "ann", 5, "a"),
            label("post", "p", 5, "a"),
            user_deletion("ann", 5),
        ]
        for store in in_every_order(open_store, *facts):
            assert store.user_ids() == ["bob"]
            assert store.profiles(["ann"]) == []
            assert store.posts(["p"]) == store.posts_of(["ann"]) == []
            assert store.labels("user") == store.labels("post") == []
            assert store.neighbours("bob", "followees") == []
            assert store.neighbours("bob", "followers") == []
            assert store.posts(["q"])[0].mentions == ("eve",)

    def test_what_is_later_than_the_deletion_stands(self, open_store: OpenStore) -> None:
        facts: list[Fact] = [
            profile("ann", 6, username="back"),
            follow("ann", "bob", 6),
            post("p", "ann", 6),
            post("q", "bob", 6, mentions=["ann"]),
            label("user", "ann", 6, "a"),
            user_deletion("ann", 5),
        ]
        for store in in_every_order(open_store, *facts):
            assert store.profiles(["ann"])[0].username == "back"
            assert store.neighbours("ann", "followees") == ["bob"]
            assert store.posts(["p", "q"])[1].mentions == ("ann",)
            assert len(store.labels("user")) == 1

    def test_an_account_comes_back_empty(self, open_store: OpenStore) -> None:
        facts: list[Fact] = [
            profile("ann", 1),
            follow("bob", "ann", 3),
            label("user", "ann", 4, "a"),
            post("p", "ann", 5),
            user_deletion("ann", 5),
            follow("ann", "eve", 6),
        ]
        for store in in_every_order(open_store, *facts):
            assert store.profiles(["ann"]) == [bare("ann")]
            assert store.neighbours("ann", "followers") == []
            assert not store.posts_of(["ann"])
            assert not store.labels("user")

    def test_the_newest_of_several_deletions_counts(self, open_store: OpenStore) -> None:
        facts: list[Fact] = [profile("ann", 5), user_deletion("ann", 7), user_deletion("ann", 3)]
        for store in in_every_order(open_store, *facts):
            assert store.user_ids() == []

    def test_a_follow_must_be_newer_than_the_deletions_of_both_ends(
        self, open_store: OpenStore
    ) -> None:
        facts: list[Fact] = [
            follow("ann", "bob", 5),
            user_deletion("ann", 3),
            user_deletion("bob", 5),
        ]
        for store in in_every_order(open_store, *facts):
            assert store.user_ids() == ["ann"]
            assert store.counts().follows == 0

    def test_a_follow_void_at_one_end_does_not_hide_a_later_one(
        self, open_store: OpenStore
    ) -> None:
        facts: list[Fact] = [follow("a", "b", 5), unfollow("a", "b", 6), user_deletion("b", 7)]
        for store in in_every_order(open_store, *facts, follow("a", "b", 8)):
            assert store.follows().since.tolist() == [8]

    def test_an_unfollow_newer_than_the_deletion_is_remembered(self, open_store: OpenStore) -> None:
        facts: list[Fact] = [unfollow("a", "b", 8), user_deletion("b", 7), follow("a", "b", 8)]
        for store in in_every_order(open_store, *facts):
            assert store.counts().follows == 0
            assert store.user_ids() == ["a", "b"]

    def test_a_mention_has_the_time_of_its_post(self, open_store: OpenStore) -> None:
        facts: list[Fact] = [post("p", "ann", 5, mentions=["bob", "eve"]), user_deletion("bob", 5)]
        for store in in_every_order(open_store, *facts, user_deletion("eve", 4)):
            assert store.posts(["p"])[0].mentions == ("eve",)

    def test_a_newer_post_mentions_a_deleted_user_again(self, open_store: OpenStore) -> None:
        facts: list[Fact] = [
            post("p", "ann", 5, mentions=["bob"]),
            post("p", "ann", 7, mentions=["bob"]),
        ]
        for store in in_every_order(open_store, *facts, user_deletion("bob", 6)):
            assert store.posts(["p"])[0].mentions == ("bob",)
            assert store.user_ids() == ["ann"]

    def test_a_self_mention_is_kept(self, open_store: OpenStore) -> None:
        for store in in_every_order(open_store, post("p", "ann", 5, mentions=["ann"])):
            assert store.posts(["p"])[0].mentions == ("ann",)

    def test_a_post_goes_with_content_counts_and_labels(self, open_store: OpenStore) -> None:
        facts: list[Fact] = [
            post("p", "ann", 1, like_count=1),
            engagement("p", 5, likes=2, comments=2),
            label("post", "p", 5, "a"),
            post_deletion("p", 5),
        ]
        for store in in_every_order(open_store, *facts):
            assert not store.posts(["p"])
            assert not store.labels("post")
            store.apply(batch_of([post("p", "ann", 6)]))
            (found,) = store.posts(["p"])
            assert (found.like_count, found.comment_count) == (None, None)
            assert store.labels("post") == []

    def test_counts_and_labels_newer_than_the_deletion_wait(self, open_store: OpenStore) -> None:
        facts: list[Fact] = [
            post("p", "ann", 1),
            engagement("p", 7, likes=2, comments=3),
            label("post", "p", 7, "a"),
            post_deletion("p", 5),
        ]
        for store in in_every_order(open_store, *facts):
            assert not store.posts(["p"])
            assert not store.labels("post")
            store.apply(batch_of([post("p", "ann", 6)]))
            (found,) = store.posts(["p"])
            assert (found.like_count, found.comment_count) == (2, 3)
            assert len(store.labels("post")) == 1

    def test_a_late_post_meets_its_tombstone(self, open_store: OpenStore) -> None:
        for store in in_every_order(open_store, post_deletion("p", 5), post("p", "ann", 5)):
            assert store.posts(["p"]) == []
            assert store.user_ids() == ["ann"]

    def test_the_author_of_a_void_post_is_remembered(self, open_store: OpenStore) -> None:
        """Counts and labels of a deleted user's post are void, even when they come last."""
        gone: list[Fact] = [post("p", "ann", 5), user_deletion("ann", 8)]
        said: list[Fact] = [
            engagement("p", 8, likes=3, comments=3),
            label("post", "p", 7, "a"),
        ]
        for store in in_every_order(open_store, *gone, *said):
            assert store.posts(["p"]) == []
            store.apply(batch_of([post("p", "ann", 10)]))
            (found,) = store.posts(["p"])
            assert (found.like_count, found.comment_count) == (None, None)
            assert store.labels("post") == []

    def test_the_author_of_a_deleted_post_is_remembered(self, open_store: OpenStore) -> None:
        facts: list[Fact] = [
            post("p", "ann", 5),
            post_deletion("p", 6),
            engagement("p", 7, likes=3, comments=3),
            user_deletion("ann", 8),
        ]
        for store in in_every_order(open_store, *facts):
            store.apply(batch_of([post("p", "ann", 10), label("post", "p", 8, "a")]))
            assert store.posts(["p"])[0].like_count is None
            assert store.labels("post") == []

    def test_counts_newer_than_the_deletion_of_the_author_stand(
        self, open_store: OpenStore
    ) -> None:
        facts: list[Fact] = [
            post("p", "ann", 5, like_count=9),
            user_deletion("ann", 8),
            engagement("p", 9, likes=3, comments=4),
            post("p", "ann", 10),
        ]
        for store in in_every_order(open_store, *facts):
            assert store.posts(["p"])[0].like_count == 3

    def test_deletions_of_what_is_unknown_are_harmless(self, open_store: OpenStore) -> None:
        for store in in_every_order(open_store, user_deletion("ann", 5), post_deletion("p", 5)):
            assert store.user_ids() == []

    def test_a_deletion_and_what_it_voids_may_share_a_batch(self, store: GraphStore) -> None:
        store.apply(batch_of([profile("ann", 1), follow("bob", "ann", 1), post("p", "ann", 1)]))
        facts: list[Fact] = [
            profile("ann", 5),
            user_deletion("ann", 5),
            profile("ann", 6),
            post("q", "ann", 5),
            post_deletion("r", 9),
            post("r", "bob", 9),
        ]
        store.apply(batch_of(facts))
        assert store.user_ids() == ["ann", "bob"]
        assert store.posts(["p", "q", "r"]) == []


class ErasureRules:
    """Erasure is a deletion whose time is for ever."""

    def test_nothing_said_of_an_erased_user_ever_stands(self, store: GraphStore) -> None:
        facts: list[Fact] = [
            profile("ann", LATEST),
            follow("ann", "bob", LATEST),
            post("p", "ann", LATEST),
            post("q", "bob", LATEST, mentions=["ann"]),
            label("user", "ann", LATEST, "a"),
            user_deletion("ann", 3),
        ]
        store.apply(batch_of(facts))
        store.erase("ann")
        for batch in [[], facts]:
            store.apply(batch_of(batch))
            assert store.user_ids() == ["bob"]
            assert not store.posts(["p"])
            assert not store.labels("user")
            assert store.posts(["q"])[0].mentions == ()

    def test_who_is_unknown_can_be_erased(self, store: GraphStore) -> None:
        commit = store.erase("ann")
        assert commit.version == store.head().version == 1
        store.apply(batch_of([profile("ann", LATEST)]))
        assert store.user_ids() == []

    def test_erasure_is_one_commit_and_is_told_by_the_feed(self, store: GraphStore) -> None:
        store.apply(batch_of([follow("ann", "bob", 3), post("p", "ann", 3)]))
        commit = store.erase("ann")
        assert (commit.version, store.head().version) == (2, 2)
        (change,) = store.changes(1)
        assert list(change.users) == ["ann"]
        assert list(change.posts) == [PostChange("p", "ann", True)]
        assert list(change.follows) == [("ann", "bob", False)]

    def test_an_erasure_repeated_changes_nothing(self, store: GraphStore) -> None:
        store.apply(batch_of([profile("ann", 3), profile("bob", 3)]))
        store.erase("ann")
        before = store.digest()
        store.erase("ann")
        assert store.digest() == before
        assert store.user_ids() == ["bob"]


class BigDeletionRules:
    """A deletion of more facts than a transaction holds ends like a small one."""

    def facts(self) -> list[Fact]:
        facts: list[Fact] = [follow(f"fan {number}", "star", 5) for number in range(BIG)]
        facts += [post(f"p{number}", "star", 5, mentions=["fan 1"]) for number in range(200)]
        facts += [post(f"q{number}", "fan 2", 5, mentions=["star"]) for number in range(200)]
        return [*facts, follow("star", "fan 3", 9), follow("fan 1", "fan 2", 5)]

    def test_a_star_is_deleted_with_positions_and_other_facts(self, store: GraphStore) -> None:
        before = self.facts()
        store.apply(batch_of(before, [move(None, 10)]))
        mirror = Mirror(store)
        deletion: list[Fact] = [user_deletion("star", 8), profile("fan 1", 6)]
        commit = store.apply(batch_of(deletion, [move(10, 12)]))
        assert store.head().version == commit.version
        assert [position.offset for position in store.positions()] == [12]
        expected = graph_state([*before, *deletion])
        assert store.digest() == digest(expected)
        assert store.neighbours("star", "followees") == ["fan 3"]
        mirror.catch_up(store)
        mirror.assert_equal(read_state(store))
        assert store.apply(batch_of(deletion)).num_applied == 0
        store.apply(batch_of(before))
        assert store.digest() == digest(expected)

    def test_a_conflict_holds_back_the_whole_deletion(self, store: GraphStore) -> None:
        facts = self.facts()
        store.apply(batch_of(facts, [move(None, 10)]))
        before = (store.head(), store.digest())
        with pytest.raises(PositionConflict):
            store.apply(batch_of([user_deletion("star", 8)], [move(9, 12)]))
        assert (store.head(), store.digest()) == before
