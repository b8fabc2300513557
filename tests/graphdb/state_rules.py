"""Rules of the contract: what wins in a register, and who exists."""

from dataclasses import replace

import pytest

from graphdb.store import GraphStore, Label, Post, Profile
from tests.graphdb.made_facts import (
    batch_of,
    engagement,
    follow,
    label,
    post,
    post_deletion,
    profile,
    unfollow,
    user_deletion,
)
from tests.graphdb.orders import OpenStore, in_every_order
from tests.graphdb.specification import Fact

LEAST_TIE, GREATEST_TIE = -(2**63), 2**63 - 1
TIES = [(-1, 1), (LEAST_TIE, GREATEST_TIE), (LEAST_TIE, -1), (0, GREATEST_TIE), (2**53, 2**53 + 1)]


def bare(user_id: str) -> Profile:
    """A user of whom no profile stands."""
    return Profile(
        user_id=user_id,
        time=None,
        username=None,
        full_name=None,
        biography=None,
        follower_count=None,
        following_count=None,
        post_count=None,
        is_verified=None,
        created_at=None,
    )


def label_sets(store: GraphStore) -> list[tuple[str, tuple[str, ...]]]:
    return [(given.annotator, given.labels) for given in store.labels("user")]


class RegisterRules:
    """Per key the greatest (time, deletion over creation, tie) wins, in any order of arrival."""

    def test_a_profile_is_kept_whole(self, store: GraphStore) -> None:
        fact = profile(
            "ann",
            5,
            username="Ann",
            full_name="",
            biography='Ä\n"\\\U0001f600',
            follower_count=2**62,
            following_count=0,
            post_count=3,
            is_verified=False,
            created_at=0,
        )
        store.apply(batch_of([fact]))
        assert store.profiles(["ann"]) == [
            Profile(
                user_id="ann",
                time=5,
                username="Ann",
                full_name="",
                biography='Ä\n"\\\U0001f600',
                follower_count=2**62,
                following_count=0,
                post_count=3,
                is_verified=False,
                created_at=0,
            )
        ]
        assert store.profiles(["ann"])[0].is_verified is False

    def test_the_newest_profile_replaces_all_of_the_older(self, open_store: OpenStore) -> None:
        old = profile("ann", 3, full_name="Ann", biography="x", post_count=3, is_verified=True)
        for store in in_every_order(open_store, old, profile("ann", 4, username="new")):
            assert store.profiles(["ann"]) == [replace(bare("ann"), time=4, username="new")]

    @pytest.mark.parametrize(("less", "more"), TIES)
    def test_the_greater_tie_wins_at_an_equal_time(
        self, open_store: OpenStore, less: int, more: int
    ) -> None:
        loser = profile("ann", 3, username="loser", tie=less)
        for store in in_every_order(open_store, loser, profile("ann", 3, username="w", tie=more)):
            assert store.profiles(["ann"])[0].username == "w"

    @pytest.mark.parametrize(("less", "more"), TIES)
    def test_ties_order_posts_and_counts(self, open_store: OpenStore, less: int, more: int) -> None:
        facts: list[Fact] = [
            post("p", "ann", 3, caption="loser", tie=less, like_count=1),
            post("p", "ann", 3, caption="winner", tie=more),
            engagement("p", 3, likes=2, comments=2, tie=less + 1),
        ]
        for store in in_every_order(open_store, *facts):
            assert store.posts(["p"])[0].caption == "winner"
            assert store.posts(["p"])[0].like_count == 2

    def test_ties_order_labels(self, open_store: OpenStore) -> None:
        facts: list[Fact] = [profile("ann", 1), label("user", "ann", 3, "a", tie=-5)]
        for store in in_every_order(open_store, *facts, label("user", "ann", 3, "b", tie=4)):
            assert label_sets(store) == [("human", ("b",))]

    def test_a_post_is_kept_whole(self, store: GraphStore) -> None:
        fact = post(
            "p",
            "ann",
            5,
            caption="",
            image="images/1.jpg",
            hashtags=["z", "a", "z", "Ä"],
            mentions=["bob", "ann", "bob"],
            like_count=0,
            comment_count=2**62,
        )
        store.apply(batch_of([fact]))
        expected = Post(
            post_id="p",
            user_id="ann",
            time=5,
            caption="",
            image="images/1.jpg",
            hashtags=("a", "z", "Ä"),
            mentions=("ann", "bob"),
            like_count=0,
            comment_count=2**62,
        )
        assert store.posts(["p"]) == [expected]
        assert store.posts_of(["ann"]) == [expected]

    def test_the_newest_post_replaces_the_content_of_the_older(self, open_store: OpenStore) -> None:
        old = post("p", "ann", 3, image="i", hashtags=["x"], mentions=["bob"])
        for store in in_every_order(open_store, old, post("p", "ann", 4, hashtags=["y"])):
            (found,) = store.posts(["p"])
            assert (found.image, found.hashtags, found.mentions) == (None, ("y",), ())

    def test_a_count_given_by_superseded_content_stands(self, open_store: OpenStore) -> None:
        old = post("p", "ann", 3, caption="old", like_count=4)
        for store in in_every_order(open_store, old, post("p", "ann", 5, caption="new")):
            (found,) = store.posts(["p"])
            assert (found.caption, found.like_count) == ("new", 4)

    def test_likes_and_comments_have_times_of_their_own(self, open_store: OpenStore) -> None:
        created = post("p", "ann", 5, like_count=7)
        late = engagement("p", 3, likes=1, comments=2)
        for store in in_every_order(open_store, created, late):
            (found,) = store.posts(["p"])
            assert (found.like_count, found.comment_count) == (7, 2)

    def test_counts_may_fall(self, open_store: OpenStore) -> None:
        first = post("p", "ann", 1, like_count=9, comment_count=9)
        for store in in_every_order(open_store, first, engagement("p", 2, likes=0, comments=3)):
            (found,) = store.posts(["p"])
            assert (found.like_count, found.comment_count) == (0, 3)

    @pytest.mark.parametrize(("of_follow", "of_unfollow"), [(-1, 1), (1, -1)])
    def test_an_unfollow_wins_over_a_follow_of_its_time(
        self, open_store: OpenStore, of_follow: int, of_unfollow: int
    ) -> None:
        made = follow("ann", "bob", 5, tie=of_follow)
        for store in in_every_order(open_store, made, unfollow("ann", "bob", 5, tie=of_unfollow)):
            assert store.counts().follows == 0
            assert store.counts().users == 2

    def test_a_newer_follow_wins_over_an_unfollow(self, open_store: OpenStore) -> None:
        facts: list[Fact] = [
            follow("ann", "bob", 3),
            unfollow("ann", "bob", 4),
            follow("ann", "bob", 6),
        ]
        for store in in_every_order(open_store, *facts):
            assert store.follows().since.tolist() == [6]

    def test_a_follow_repeated_stands_since_the_newest(self, open_store: OpenStore) -> None:
        for store in in_every_order(open_store, follow("a", "b", 3), follow("a", "b", 5)):
            assert store.follows().since.tolist() == [5]

    def test_an_unfollow_that_comes_first_is_remembered(self, open_store: OpenStore) -> None:
        for store in in_every_order(open_store, unfollow("ann", "bob", 6), follow("ann", "bob", 5)):
            assert store.neighbours("ann", "followees") == []

    def test_a_follow_and_its_reverse_are_two(self, open_store: OpenStore) -> None:
        facts: list[Fact] = [
            follow("ann", "bob", 3),
            follow("bob", "ann", 4),
            unfollow("ann", "bob", 5),
        ]
        for store in in_every_order(open_store, *facts):
            assert store.neighbours("bob", "followees") == ["ann"]
            assert store.neighbours("ann", "followees") == []

    def test_each_annotator_has_labels_of_its_own(self, open_store: OpenStore) -> None:
        facts: list[Fact] = [
            profile("ann", 1),
            label("user", "ann", 3, "b", "a", "b"),
            label("user", "ann", 2, "c", annotator="model"),
            label("user", "ann", 2, "d"),
        ]
        for store in in_every_order(open_store, *facts):
            assert label_sets(store) == [("human", ("a", "b")), ("model", ("c",))]

    def test_no_labels_withdraw_those_of_one_annotator_and_task(
        self, open_store: OpenStore
    ) -> None:
        facts: list[Fact] = [
            profile("ann", 1),
            label("user", "ann", 3, "a"),
            label("user", "ann", 2, "b", annotator="model"),
            label("user", "ann", 2, "c", task="mood"),
            label("user", "ann", 4),
        ]
        for store in in_every_order(open_store, *facts):
            assert label_sets(store) == [("human", ("c",)), ("model", ("b",))]

    @pytest.mark.parametrize(("of_labels", "of_withdrawal"), [(-1, 1), (1, -1)])
    def test_a_withdrawal_wins_over_labels_of_its_time(
        self, open_store: OpenStore, of_labels: int, of_withdrawal: int
    ) -> None:
        given = label("user", "ann", 3, "a", tie=of_labels)
        withdrawn = label("user", "ann", 3, tie=of_withdrawal)
        for store in in_every_order(open_store, profile("ann", 1), given, withdrawn):
            assert store.labels("user") == []

    def test_labels_come_back_after_a_withdrawal(self, open_store: OpenStore) -> None:
        facts: list[Fact] = [
            label("user", "ann", 3),
            label("user", "ann", 4, "a"),
            label("user", "ann", 2, "b"),
        ]
        for store in in_every_order(open_store, profile("ann", 1), *facts):
            assert store.labels("user") == [
                Label(
                    subject_kind="user",
                    subject_id="ann",
                    task="topic",
                    annotator="human",
                    labels=("a",),
                    time=4,
                )
            ]

    def test_a_user_and_a_post_of_one_id_have_labels_of_their_own(
        self, open_store: OpenStore
    ) -> None:
        facts: list[Fact] = [
            post("x", "x", 1),
            label("user", "x", 2, "a"),
            label("post", "x", 2, "b"),
        ]
        for store in in_every_order(open_store, *facts):
            assert [given.labels for given in store.labels("user")] == [("a",)]
            assert [given.labels for given in store.labels("post")] == [("b",)]

    def test_a_batch_may_hold_a_key_many_times(self, store: GraphStore) -> None:
        times = [3, 9, 1, 9, 7]
        facts: list[Fact] = [
            *(profile("ann", time) for time in times),
            *(post("p", "ann", time, like_count=time) for time in times),
            *(engagement("p", time, likes=time + 10, comments=0, tie=0) for time in times),
            *(label("user", "ann", time, str(time)) for time in times),
            *(follow("ann", "bob", time, live=time != 7) for time in times),
            *(user_deletion("eve", time) for time in times),
            follow("eve", "ann", 8),
        ]
        store.apply(batch_of(facts))
        assert store.profiles(["ann"])[0].time == 9
        assert store.posts(["p"])[0].time == 9
        assert label_sets(store) == [("human", ("9",))]
        assert store.neighbours("ann", "followees") == ["bob"]
        assert store.user_ids() == ["ann", "bob"]


class ExistenceRules:
    """A user exists while something newer than its newest deletion was seen."""

    def test_an_empty_store_holds_nothing(self, store: GraphStore) -> None:
        assert store.user_ids() == []
        assert store.digest() == "0" * 32
        assert store.follows().since.tolist() == []

    def test_a_follow_makes_both_ends_exist(self, open_store: OpenStore) -> None:
        for store in in_every_order(open_store, follow("ann", "bob", 5)):
            assert store.profiles(["ann", "bob"]) == [bare("ann"), bare("bob")]

    def test_an_unfollow_makes_nobody_exist(self, open_store: OpenStore) -> None:
        for store in in_every_order(open_store, unfollow("ann", "bob", 5)):
            assert store.user_ids() == []

    def test_who_was_followed_exists_after_the_unfollow(self, open_store: OpenStore) -> None:
        for store in in_every_order(open_store, follow("ann", "bob", 5), unfollow("ann", "bob", 6)):
            assert store.user_ids() == ["ann", "bob"]

    def test_an_author_exists_after_the_post_is_deleted(self, open_store: OpenStore) -> None:
        for store in in_every_order(open_store, post("p", "ann", 5), post_deletion("p", 6)):
            assert store.user_ids() == ["ann"]
            assert store.posts(["p"]) == []

    def test_who_is_only_mentioned_is_a_stub(self, open_store: OpenStore) -> None:
        for store in in_every_order(open_store, post("p", "ann", 5, mentions=["bob", "zoe"])):
            assert store.posts(["p"])[0].mentions == ("bob", "zoe")
            assert store.user_ids() == ["ann"]
            assert store.profiles(["bob", "zoe"]) == []
            assert store.follows().user_ids == ["ann"]
            assert store.counts().users == 1

    def test_the_first_event_of_a_stub_makes_it_exist(self, open_store: OpenStore) -> None:
        facts: list[Fact] = [post("p", "ann", 5, mentions=["bob", "zoe"]), follow("bob", "ann", 1)]
        for store in in_every_order(open_store, *facts, profile("zoe", 2)):
            assert store.user_ids() == ["ann", "bob", "zoe"]
            assert store.posts(["p"])[0].mentions == ("bob", "zoe")

    def test_labels_make_nobody_exist_and_wait(self, open_store: OpenStore) -> None:
        early: list[Fact] = [label("user", "ann", 1, "a"), label("post", "p", 1, "b")]
        for store in in_every_order(open_store, *early):
            assert store.user_ids() == []
            assert store.labels("user") == store.labels("post") == []
            store.apply(batch_of([post("p", "ann", 5)]))
            assert [given.labels for given in store.labels("user")] == [("a",)]
            assert [given.labels for given in store.labels("post")] == [("b",)]

    def test_counts_make_no_post_live_and_wait(self, open_store: OpenStore) -> None:
        for store in in_every_order(open_store, engagement("p", 9, likes=3, comments=4)):
            assert store.posts(["p"]) == []
            assert store.counts().posts == 0
            store.apply(batch_of([post("p", "ann", 5, like_count=1)]))
            (found,) = store.posts(["p"])
            assert (found.like_count, found.comment_count) == (3, 4)

    @pytest.mark.parametrize("ends", [("ann", "bob"), ("bob", "ann")])
    def test_what_is_void_for_one_end_is_evidence_for_the_other(
        self, open_store: OpenStore, ends: tuple[str, str]
    ) -> None:
        for store in in_every_order(open_store, follow(*ends, 5), user_deletion("ann", 9)):
            assert store.user_ids() == ["bob"]
            assert store.counts().follows == 0

    def test_a_void_and_superseded_follow_is_evidence(self, open_store: OpenStore) -> None:
        facts: list[Fact] = [follow("ann", "bob", 5), unfollow("ann", "bob", 7)]
        deletions = [user_deletion("ann", 9), user_deletion("bob", 4)]
        for store in in_every_order(open_store, *facts, *deletions):
            assert store.user_ids() == ["bob"]

    @pytest.mark.parametrize("ends", [("ann", "bob"), ("bob", "ann")])
    def test_a_void_unfollow_is_evidence_of_nobody(
        self, open_store: OpenStore, ends: tuple[str, str]
    ) -> None:
        for store in in_every_order(open_store, unfollow(*ends, 5), user_deletion("ann", 9)):
            assert store.user_ids() == []

    def test_a_follow_that_lost_to_an_unfollow_is_evidence(self, open_store: OpenStore) -> None:
        facts: list[Fact] = [unfollow("ann", "bob", 9), follow("ann", "bob", 8)]
        for store in in_every_order(open_store, *facts, user_deletion("bob", 7)):
            assert store.user_ids() == ["ann", "bob"]

    def test_an_older_evidence_is_not_the_newest(self, open_store: OpenStore) -> None:
        facts: list[Fact] = [
            follow("ann", "bob", 8),
            unfollow("ann", "bob", 9),
            follow("ann", "bob", 2),
        ]
        for store in in_every_order(open_store, *facts, user_deletion("bob", 7)):
            assert store.user_ids() == ["ann", "bob"]

    def test_a_deleted_post_is_evidence_of_its_author(self, open_store: OpenStore) -> None:
        facts: list[Fact] = [post("p", "ann", 8), post_deletion("p", 9), user_deletion("ann", 7)]
        for store in in_every_order(open_store, *facts):
            assert store.user_ids() == ["ann"]

    def test_a_post_that_went_to_another_author_is_evidence_of_both(
        self, open_store: OpenStore
    ) -> None:
        facts: list[Fact] = [post("p", "ann", 8), post("p", "bob", 9)]
        deletions = [user_deletion("ann", 7), user_deletion("bob", 7)]
        for store in in_every_order(open_store, *facts, *deletions):
            assert store.user_ids() == ["ann", "bob"]
            assert [found.user_id for found in store.posts(["p"])] == ["bob"]

    def test_a_standing_post_is_evidence_of_its_author(self, open_store: OpenStore) -> None:
        facts: list[Fact] = [post("p", "ann", 8), post("p", "ann", 6), user_deletion("ann", 7)]
        for store in in_every_order(open_store, *facts):
            assert store.user_ids() == ["ann"]

    @pytest.mark.parametrize("time", [0, 5])
    def test_a_deletion_of_the_time_of_all_evidence_ends_it(
        self, open_store: OpenStore, time: int
    ) -> None:
        facts: list[Fact] = [
            profile("ann", time),
            follow("ann", "bob", time),
            post("p", "ann", time),
        ]
        for store in in_every_order(open_store, *facts, user_deletion("ann", time)):
            assert store.user_ids() == ["bob"]
            assert store.counts().posts == 0
