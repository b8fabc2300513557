"""Rules of the contract: order, paging and identity of what is read, and the digest."""

from dataclasses import replace
from hashlib import blake2b

import numpy as np
import pytest

from graphdb.image_reference import image_in
from graphdb.store import GraphStore
from tests.graphdb.made_facts import (
    batch_of,
    engagement,
    follow,
    label,
    post,
    profile,
    unfollow,
    user_deletion,
)
from tests.graphdb.orders import OpenStore
from tests.graphdb.specification import Fact, digest, graph_state

# Ascending in UTF-8. UTF-16, letter case, numbers and normal forms would order or join them
# differently; the last two are one character in normal form.
IDS = [
    " a",
    "01",
    "1",
    "1.0",
    "10",
    "1e1",
    "9",
    "A",
    "B",
    "Z" * 256,
    "_",
    "a",
    "a ",
    "a%",
    "a'b",
    "aa",
    "b",
    "e\u0301",
    "null",
    "é",
    "ﬀ",
    "\uffee",
    "\U0001f600",
    "\U0001f600" * 64,
]
MANY = 40_000
"""More than the parameters that SQLite takes in one statement."""


class ReadRules:
    """Reads have a defined order and never invent, lose or join keys."""

    def test_the_ids_of_this_test_ascend_in_utf_8(self) -> None:
        assert sorted(IDS, key=str.encode) == IDS
        assert max(len(user_id.encode()) for user_id in IDS) == 256

    def test_ids_are_exact_bytes(self, store: GraphStore) -> None:
        store.apply(batch_of(profile(user_id, 1) for user_id in reversed(IDS)))
        assert store.user_ids() == IDS
        assert [found.user_id for found in store.profiles(IDS)] == IDS
        assert store.follows().user_ids == IDS

    def test_post_ids_are_exact_bytes(self, store: GraphStore) -> None:
        store.apply(batch_of(post(post_id, "ann", 1) for post_id in reversed(IDS)))
        assert [found.post_id for found in store.posts(IDS)] == IDS
        assert [found.post_id for found in store.posts_of(["ann"])] == IDS

    @pytest.mark.parametrize("limit", [1, 2, 5, len(IDS), len(IDS) + 1])
    def test_pages_of_users_join_to_all(self, store: GraphStore, limit: int) -> None:
        store.apply(batch_of(profile(user_id, 1) for user_id in IDS))
        read: list[str] = []
        while page := store.user_ids(after=read[-1] if read else None, limit=limit):
            assert len(page) <= limit
            assert not read or page[0] > read[-1]
            read += page
        assert read == IDS

    def test_a_page_begins_after_an_id_that_need_not_exist(self, store: GraphStore) -> None:
        store.apply(batch_of([profile("a", 1), profile("c", 1), post("p", "d", 1, mentions=["e"])]))
        assert store.user_ids(after="b") == ["c", "d"]
        assert store.user_ids(after="d") == []
        assert store.user_ids(after="") == ["a", "c", "d"]

    def test_profiles_come_in_the_order_asked(self, store: GraphStore) -> None:
        store.apply(batch_of(profile(user_id, 1) for user_id in "abc"))
        asked = ["c", "x", "a", "b", "y"]
        assert [found.user_id for found in store.profiles(asked)] == ["c", "a", "b"]

    def test_posts_come_in_the_order_asked(self, store: GraphStore) -> None:
        store.apply(batch_of(post(post_id, "ann", 1) for post_id in "abc"))
        asked = ["c", "x", "a", "b", "y"]
        assert [found.post_id for found in store.posts(asked)] == ["c", "a", "b"]

    def test_posts_of_users_come_newest_first(self, store: GraphStore) -> None:
        facts: list[Fact] = [
            post("p1", "ann", 3),
            post("p2", "ann", 9),
            post("p4", "ann", 3),
            post("p3", "ann", 3),
            post("q1", "bob", 5),
            profile("eve", 1),
        ]
        store.apply(batch_of([*facts, engagement("p1", 20, likes=1, comments=1)]))
        found = [post.post_id for post in store.posts_of(["bob", "eve", "nobody", "ann"])]
        assert found == ["q1", "p2", "p1", "p3", "p4"]

    def test_labels_come_by_subject_task_and_annotator(self, store: GraphStore) -> None:
        keys = [(user, task, who) for user in "Bab" for task in "tT" for who in ("m", "human")]
        facts: list[Fact] = [label("user", a, 1, "x", task=b, annotator=c) for a, b, c in keys]
        store.apply(batch_of([*facts, *(profile(user, 1) for user in "Bab")]))
        found = [(given.subject_id, given.task, given.annotator) for given in store.labels("user")]
        assert found == sorted(keys)
        assert store.labels("post") == []

    def test_labels_are_chosen_by_task_and_subject(self, store: GraphStore) -> None:
        facts: list[Fact] = [
            *(profile(user, 1) for user in "abc"),
            *(label("user", user, 1, "x", task=task) for user in "abc" for task in "tu"),
        ]
        store.apply(batch_of(facts))

        def keys(
            *, task: str | None = None, subjects: list[str] | None = None
        ) -> list[tuple[str, str]]:
            found = store.labels("user", task=task, subject_ids=subjects)
            return [(given.subject_id, given.task) for given in found]

        assert keys(task="t") == [("a", "t"), ("b", "t"), ("c", "t")]
        assert keys(subjects=["c", "a", "x"]) == [("a", "t"), ("a", "u"), ("c", "t"), ("c", "u")]
        assert keys(task="u", subjects=["b"]) == [("b", "u")]
        assert keys(task="none") == keys(subjects=[]) == []

    def test_neighbours_are_read_by_direction(self, store: GraphStore) -> None:
        outward = [follow("hub", user_id, 1) for user_id in reversed(IDS)]
        inward = [follow(user_id, "hub", 1) for user_id in IDS[::2]]
        gone = [unfollow("hub", IDS[0], 2), unfollow(IDS[2], "hub", 2)]
        store.apply(batch_of([*outward, *inward, *gone]))
        assert store.neighbours("hub", "followees") == IDS[1:]
        assert store.neighbours("hub", "followers") == [IDS[0], *IDS[4::2]]
        assert store.neighbours("hub", "mutual") == IDS[4::2]
        assert store.neighbours(IDS[4], "mutual") == ["hub"]

    def test_mutual_follows_are_counted_by_pair(self, store: GraphStore) -> None:
        facts = [follow("a", "b", 1), follow("b", "a", 2), follow("a", "c", 1), follow("c", "b", 1)]
        store.apply(batch_of(facts))
        counts = store.counts()
        assert (counts.users, counts.posts) == (3, 0)
        assert (counts.follows, counts.mutual_follows) == (4, 1)

    def test_follows_are_exported_as_columns(self, store: GraphStore) -> None:
        facts: list[Fact] = [
            profile("lonely", 1),
            follow("é", "ann", 5),
            follow("ann", "\U0001f600", 2**60),
            follow("ann", "bob", 1),
            unfollow("ann", "bob", 2),
            post("p", "ann", 1, mentions=["stub"]),
        ]
        store.apply(batch_of(facts))
        exported = store.follows()
        assert exported.user_ids == ["ann", "bob", "lonely", "é", "\U0001f600"]
        columns = (exported.followers, exported.followees, exported.since)
        assert {column.dtype for column in columns} == {np.dtype(np.int64)}
        rows = set(zip(*(column.tolist() for column in columns), strict=True))
        assert rows == {(3, 0, 5), (0, 4, 2**60)}

    def test_what_is_unknown_is_left_out(self, store: GraphStore) -> None:
        store.apply(batch_of([profile("ann", 1)]))
        assert store.profiles(["x"]) == store.profiles([]) == []
        assert store.posts(["x"]) == store.posts([]) == []
        assert store.posts_of(["x"]) == store.posts_of([]) == []
        assert store.neighbours("x", "followers") == store.neighbours("x", "mutual") == []

    def test_many_keys_may_be_asked_at_once(self, store: GraphStore) -> None:
        store.apply(batch_of([post("7", "39999", 1), label("user", "39999", 1, "a")]))
        asked = [str(number) for number in range(MANY)]
        assert [found.user_id for found in store.profiles(asked)] == ["39999"]
        assert [found.post_id for found in store.posts(asked)] == ["7"]
        assert [found.post_id for found in store.posts_of(asked)] == ["7"]
        assert len(store.labels("user", subject_ids=asked)) == 1

    def test_deletions_of_many_may_share_a_batch(self, store: GraphStore) -> None:
        users = [str(number) for number in range(2_000)]
        store.apply(batch_of(profile(user_id, 1) for user_id in users))
        store.apply(batch_of([*(user_deletion(user, 1) for user in users), profile("ann", 1)]))
        assert store.user_ids() == ["ann"]


ANN = profile("ann", 3, username="Ann", biography='ß\n"', follower_count=3, is_verified=True)
FULL: list[Fact] = [
    ANN,
    follow("ann", "bob", 4),
    post("p", "ann", 5, caption="c", hashtags=["y", "x", "y"], mentions=["zoe", "bob"]),
    engagement("p", 6, likes=3, comments=0),
    label("user", "bob", 7, "b", "a", "b"),
    label("post", "p", 7, "c", annotator="model"),
]


class DigestRules:
    """The digest is equal exactly when the state is."""

    def test_the_digest_is_that_of_the_specification(self, store: GraphStore) -> None:
        store.apply(batch_of(FULL))
        assert store.digest() == digest(graph_state(FULL))

    def test_the_digest_of_one_user_is_known(self, store: GraphStore) -> None:
        store.apply(batch_of([profile("ann", 3, username="Ann", is_verified=True, created_at=7)]))
        text = '["user","ann","Ann",null,null,null,null,null,true,7]'
        assert store.digest() == _blake2b_128(text)

    def test_the_digest_of_what_is_hidden_is_zero(self, store: GraphStore) -> None:
        hidden: list[Fact] = [
            engagement("p", 1, likes=1, comments=1),
            label("user", "ann", 1, "a"),
            unfollow("ann", "bob", 1),
            user_deletion("eve", 1),
        ]
        store.apply(batch_of(hidden))
        assert store.digest() == "0" * 32

    @pytest.mark.parametrize(
        "more",
        [
            replace(ANN, time=4, username="Anna"),
            replace(ANN, time=4, is_verified=False),
            replace(ANN, time=4, biography=None),
            follow("ann", "bob", 5),
            follow("bob", "ann", 4),
            unfollow("ann", "bob", 5),
            post("p", "ann", 6, caption="c", hashtags=["y", "x"], mentions=["zoe", "bob"]),
            engagement("p", 7, likes=4, comments=0),
            engagement("p", 7, likes=3, comments=1),
            label("user", "bob", 8, "a"),
            label("user", "bob", 7, "a", "b", annotator="model"),
            label("post", "p", 7, "c", annotator="model", task="mood"),
            user_deletion("zoe", 9),
            profile("new", 1),
        ],
    )
    def test_the_digest_differs_where_the_state_does(self, store: GraphStore, more: Fact) -> None:
        store.apply(batch_of(FULL))
        before = store.digest()
        store.apply(batch_of([more]))
        assert store.digest() != before
        assert store.digest() == digest(graph_state([*FULL, more]))

    def test_histories_that_end_alike_have_one_digest(self, open_store: OpenStore) -> None:
        straight, winding = open_store("straight"), open_store("winding")
        straight.apply(batch_of(FULL))
        winding.apply(batch_of([follow("ann", "eve", 1), post("q", "eve", 1)]))
        winding.apply(batch_of([*reversed(FULL), label("user", "bob", 7, "x", task="mood")]))
        assert winding.digest() != straight.digest()
        winding.apply(batch_of([user_deletion("eve", 9), label("user", "bob", 8, task="mood")]))
        assert winding.digest() == straight.digest()
        winding.apply(batch_of([replace(ANN, tie=ANN.tie + 1)]))
        assert winding.digest() == straight.digest()
        straight.close()
        winding.close()

    def test_the_digest_does_not_tell_in_which_folder_an_event_was_read(
        self, open_store: OpenStore
    ) -> None:
        digests = set()
        for folder in ("", "/data/a", "/data/b"):
            store = open_store(f"in{folder.replace('/', '-')}")
            image = image_in(folder, "images/1.jpg")
            store.apply(batch_of([post("p", "ann", 1, image=image, tie=1)]))
            assert [found.image for found in store.posts(["p"])] == [image]
            digests.add(store.digest())
            store.close()
        assert len(digests) == 1


def _blake2b_128(text: str) -> str:
    return blake2b(text.encode(), digest_size=16).hexdigest()
