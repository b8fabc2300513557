"""Rules of the contract: the feed names every key that changed, and says where it begins."""

from collections.abc import Sequence

import pytest

from graphdb.errors import ChangesTrimmed
from graphdb.store import Change, GraphStore, LabelChange, PostChange
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
from tests.graphdb.mirror import Mirror, read_state
from tests.graphdb.oracle import num_keys
from tests.graphdb.specification import Fact

EVERYTHING = 2**62
"""More rows than there are, or a time after all commits."""


def told(store: GraphStore, facts: Sequence[Fact]) -> Change:
    """Commit the facts and return what the feed says of it."""
    before = store.head().version
    commit = store.apply(batch_of(facts))
    (change,) = store.changes(before)
    assert (change.version, change.commit_time) == (commit.version, commit.commit_time)
    return change


def content(post_id: str, author_id: str, *mentioned: str) -> PostChange:
    """What is told of a post whose content came, went or changed."""
    return PostChange(post_id, author_id, True, mentioned)


class FeedRules:
    """A change holds the keys of what one commit changed."""

    def test_each_commit_is_one_version_of_a_later_time(self, store: GraphStore) -> None:
        assert (store.head().version, store.head().commit_time) == (0, 0)
        times = [0]
        for number in range(1, 6):
            commit = store.apply(batch_of([profile("ann", number)] if number % 2 else []))
            assert commit.version == store.head().version == number
            assert commit.commit_time == store.head().commit_time > times[-1]
            times.append(commit.commit_time)
        assert times[1] > 1_600_000_000_000_000, "microseconds since 1970"
        told = [(change.version, change.commit_time) for change in store.changes(0)]
        assert set(told) <= set(enumerate(times))
        assert told == sorted(told)

    def test_a_profile_is_told_by_its_user(self, store: GraphStore) -> None:
        assert list(told(store, [profile("ann", 1)]).users) == ["ann"]
        assert list(told(store, [profile("ann", 2)]).users) == ["ann"]

    def test_a_post_is_told_with_its_author(self, store: GraphStore) -> None:
        change = told(store, [post("p", "ann", 1)])
        assert list(change.posts) == [content("p", "ann")]
        assert list(change.users) == ["ann"]
        assert list(told(store, [post("p", "ann", 2)]).posts) == [content("p", "ann")]

    def test_a_post_is_told_with_whom_it_mentions_and_mentioned(self, store: GraphStore) -> None:
        change = told(store, [post("p", "ann", 1, mentions=["eve", "bob", "ann"])])
        assert list(change.posts) == [content("p", "ann", "ann", "bob", "eve")]
        change = told(store, [post("p", "ann", 2, mentions=["bob", "joe"])])
        assert list(change.posts) == [content("p", "ann", "ann", "bob", "eve", "joe")]
        change = told(store, [post_deletion("p", 3)])
        assert list(change.posts) == [content("p", "ann", "bob", "joe")]

    def test_counts_alone_are_told_with_the_author(self, store: GraphStore) -> None:
        """Whether they come with `post.engagement`, with late content, or go."""
        store.apply(batch_of([post("p", "ann", 5, mentions=["bob"])]))
        counted: list[list[Fact]] = [
            [engagement("p", 2, likes=1, comments=1)],
            [post("p", "ann", 3, like_count=2, mentions=["eve"])],
            [post_deletion("p", 4)],
        ]
        for facts in counted:
            change = told(store, facts)
            assert list(change.posts) == [PostChange("p", "ann", False)]
            assert list(change.users) == []

    def test_counts_with_content_are_told_as_content(self, store: GraphStore) -> None:
        facts = [engagement("p", 2, likes=1, comments=1), post("p", "ann", 1, mentions=["bob"])]
        assert list(told(store, facts).posts) == [content("p", "ann", "bob")]
        facts = [post("p", "ann", 3), engagement("p", 4, likes=1, comments=1)]
        assert list(told(store, facts).posts) == [content("p", "ann", "bob")]

    def test_a_stub_is_told_without_author_or_not_at_all(self, store: GraphStore) -> None:
        facts = [engagement("p", 2, likes=1, comments=1), label("post", "ann", 1, "b")]
        change = told(store, [*facts, profile("ann", 1)])
        assert set(change.posts) <= {PostChange("p", None, False)}
        assert set(change.labels) <= {LabelChange("post", "ann", "topic")}

    def test_a_deleted_post_is_told_with_the_author_that_it_had(self, store: GraphStore) -> None:
        store.apply(batch_of([post("p", "ann", 1), label("post", "p", 1, "a")]))
        change = told(store, [post_deletion("p", 1)])
        assert list(change.posts) == [content("p", "ann")]
        assert list(change.labels) == [LabelChange("post", "p", "topic", "ann")]

    def test_a_follow_is_told_with_its_ends_and_whether_it_lives(self, store: GraphStore) -> None:
        change = told(store, [follow("ann", "bob", 1)])
        assert sorted(change.users) == ["ann", "bob"]
        assert list(change.follows) == [("ann", "bob", True)]
        change = told(store, [unfollow("ann", "bob", 2)])
        assert list(change.users) == []
        assert list(change.follows) == [("ann", "bob", False)]

    def test_a_follow_renewed_is_told(self, store: GraphStore) -> None:
        store.apply(batch_of([follow("ann", "bob", 1)]))
        assert list(told(store, [follow("ann", "bob", 2)]).follows) == [("ann", "bob", True)]

    def test_a_deleted_user_is_told_with_all_that_goes(self, store: GraphStore) -> None:
        facts: list[Fact] = [
            post("p", "ann", 1),
            post("q", "bob", 1, mentions=["ann"]),
            follow("ann", "bob", 1),
            follow("bob", "ann", 1),
            label("user", "ann", 1, "a"),
            label("post", "p", 1, "a", task="mood"),
        ]
        store.apply(batch_of(facts))
        change = told(store, [user_deletion("ann", 1)])
        assert list(change.users) == ["ann"]
        assert sorted(change.posts) == [content("p", "ann"), content("q", "bob", "ann")]
        assert sorted(change.follows) == [("ann", "bob", False), ("bob", "ann", False)]
        assert sorted(change.labels) == [
            LabelChange("post", "p", "mood", "ann"),
            LabelChange("user", "ann", "topic"),
        ]

    def test_labels_are_told_by_subject_and_task(self, store: GraphStore) -> None:
        store.apply(batch_of([post("p", "ann", 1)]))
        change = told(store, [label("user", "ann", 1, "a"), label("post", "p", 1, "b")])
        assert sorted(change.labels) == [
            LabelChange("post", "p", "topic", "ann"),
            LabelChange("user", "ann", "topic"),
        ]
        change = told(store, [label("user", "ann", 2)])
        assert list(change.labels) == [LabelChange("user", "ann", "topic")]

    def test_early_labels_are_told_when_their_subject_comes(self, store: GraphStore) -> None:
        store.apply(batch_of([label("user", "ann", 1, "a"), label("post", "p", 1, "b")]))
        change = told(store, [post("p", "ann", 1)])
        assert sorted(change.labels) == [
            LabelChange("post", "p", "topic", "ann"),
            LabelChange("user", "ann", "topic"),
        ]

    def test_labels_that_outlive_their_subject_are_told_when_it_goes(
        self, store: GraphStore
    ) -> None:
        store.apply(batch_of([post("p", "ann", 1), label("post", "p", 9, "b")]))
        change = told(store, [post_deletion("p", 5)])
        assert list(change.labels) == [LabelChange("post", "p", "topic", "ann")]

    def test_repeated_and_late_facts_tell_of_nothing(self, store: GraphStore) -> None:
        facts: list[Fact] = [
            profile("ann", 3),
            post("p", "ann", 3, like_count=1),
            engagement("p", 4, likes=1, comments=1),
            label("user", "ann", 3, "a"),
            follow("ann", "bob", 3),
            user_deletion("eve", 3),
            post_deletion("q", 3),
        ]
        store.apply(batch_of(facts))
        late: list[Fact] = [
            profile("ann", 2),
            post("p", "ann", 2, like_count=5),
            engagement("p", 2, likes=5, comments=5),
            label("user", "ann", 2, "b"),
            follow("ann", "bob", 2),
            unfollow("ann", "bob", 2),
            profile("eve", 2),
            post("q", "bob", 2),
        ]
        store.apply(batch_of([*facts, *late]))
        assert sum(num_keys(change) for change in store.changes(1)) == 0

    def test_a_repeated_deletion_tells_of_nothing(self, store: GraphStore) -> None:
        """Not even where a stub keeps labels, counts or mentions that the deletion left."""
        facts: list[Fact] = [
            label("user", "ann", 5, "a"),
            label("user", "bob", 5),
            post("p", "eve", 5, mentions=["ann"]),
            engagement("q", 5, likes=1, comments=1),
            follow("bob", "eve", 5),
        ]
        gone: list[Fact] = [user_deletion("ann", 3), user_deletion("bob", 3), post_deletion("q", 3)]
        store.apply(batch_of([*facts, *gone]))
        store.apply(batch_of([*gone, user_deletion("bob", 2), post_deletion("q", 2)]))
        assert sum(num_keys(change) for change in store.changes(1)) == 0

    def test_a_follow_that_ends_and_begins_is_told_once(self, store: GraphStore) -> None:
        store.apply(batch_of([follow("ann", "bob", 1)]))
        change = told(store, [user_deletion("ann", 1), follow("ann", "bob", 2)])
        assert list(change.follows) == [("ann", "bob", True)]

    def test_the_feed_begins_after_the_version_asked_for(self, store: GraphStore) -> None:
        for number in range(1, 6):
            store.apply(batch_of([profile(f"user {number}", 1)]))
        assert [change.version for change in store.changes(0)] == [1, 2, 3, 4, 5]
        assert [list(change.users) for change in store.changes(3)] == [["user 4"], ["user 5"]]
        assert list(store.changes(5)) == []

    def test_a_mirror_of_the_feed_equals_the_state(self, store: GraphStore) -> None:
        mirror = Mirror(store)
        steps: list[list[Fact]] = [
            [profile("ann", 3), follow("ann", "bob", 3), follow("bob", "ann", 3)],
            [label("user", "eve", 1, "a"), engagement("p", 9, likes=1, comments=2)],
            [post("p", "ann", 3, mentions=["eve", "bob"]), label("post", "p", 3, "b", "c")],
            [post("q", "eve", 4, mentions=["ann"]), unfollow("bob", "ann", 4)],
            [user_deletion("bob", 5)],
            [follow("bob", "eve", 6), label("post", "p", 4)],
            [post_deletion("p", 5)],
            [post("p", "ann", 6), label("user", "eve", 2)],
            [user_deletion("ann", 7), user_deletion("eve", 3)],
        ]
        for facts in steps:
            store.apply(batch_of(facts))
            mirror.catch_up(store)
            mirror.assert_equal(read_state(store))
        assert store.user_ids() == ["bob", "eve"]

    def test_a_mirror_may_fall_behind(self, store: GraphStore) -> None:
        mirror = Mirror(store)
        store.apply(batch_of([follow("ann", "bob", 3), post("p", "ann", 3)]))
        store.apply(batch_of([unfollow("ann", "bob", 4), follow("eve", "bob", 4)]))
        store.apply(batch_of([user_deletion("ann", 5), follow("ann", "bob", 6)]))
        mirror.catch_up(store)
        mirror.assert_equal(read_state(store))


class TrimRules:
    """Changes are kept for a while; who comes too late is told so."""

    def commit(self, store: GraphStore, num_versions: int) -> list[int]:
        """Commit versions of one changed key each, and return their commit times."""
        return [
            store.apply(batch_of([profile(f"user {number}", 1)])).commit_time
            for number in range(num_versions)
        ]

    def assert_kept_since(self, store: GraphStore, trimmed_to: int) -> None:
        head = store.head().version
        versions = [change.version for change in store.changes(trimmed_to)]
        assert versions == list(range(trimmed_to + 1, head + 1))
        for since in range(trimmed_to):
            with pytest.raises(ChangesTrimmed):
                list(store.changes(since))

    @pytest.mark.parametrize("since", [1, 2, 10**9])
    def test_the_feed_beyond_the_head_is_refused(self, store: GraphStore, since: int) -> None:
        assert list(store.changes(0)) == []
        with pytest.raises(ChangesTrimmed):
            list(store.changes(since))

    def test_nothing_is_trimmed_that_is_young_and_within_the_limit(self, store: GraphStore) -> None:
        times = self.commit(store, 4)
        assert store.trim_changes(older_than=times[0], max_rows=4) == 0
        self.assert_kept_since(store, 0)

    def test_old_changes_are_trimmed(self, store: GraphStore) -> None:
        times = self.commit(store, 5)
        assert store.trim_changes(older_than=times[2], max_rows=EVERYTHING) == 2
        self.assert_kept_since(store, 2)
        assert store.trim_changes(older_than=times[2], max_rows=EVERYTHING) == 0
        self.assert_kept_since(store, 2)

    @pytest.mark.parametrize("max_rows", [0, 1, 3])
    def test_the_newest_rows_are_kept(self, store: GraphStore, max_rows: int) -> None:
        self.commit(store, 5)
        assert store.trim_changes(older_than=0, max_rows=max_rows) == 5 - max_rows
        self.assert_kept_since(store, 5 - max_rows)

    def test_the_feed_goes_on_after_all_was_trimmed(self, store: GraphStore) -> None:
        self.commit(store, 3)
        before = store.digest()
        assert store.trim_changes(older_than=EVERYTHING, max_rows=EVERYTHING) == 3
        self.assert_kept_since(store, 3)
        assert store.digest() == before
        assert store.head().version == 3
        store.apply(batch_of([profile("ann", 1)]))
        self.assert_kept_since(store, 3)

    def test_what_was_trimmed_stays_trimmed_after_a_later_trim(self, store: GraphStore) -> None:
        self.commit(store, 4)
        store.trim_changes(older_than=0, max_rows=1)
        assert store.trim_changes(older_than=0, max_rows=EVERYTHING) == 0
        self.assert_kept_since(store, 3)
