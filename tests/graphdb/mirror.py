"""Copies of a store's state, made through the protocol alone.

`read_state` reads all of it; a `Mirror` follows the change feed as any projection does, fetching
again what the keys name. A feed is right when both are equal after every commit.
"""

from graphdb.facts import SubjectKind
from graphdb.store import GraphStore, Label, Post, Profile
from tests.graphdb.specification import GraphState, LabelKey

KINDS: tuple[SubjectKind, ...] = ("user", "post")
PAGE_SIZE = 3


def read_state(store: GraphStore) -> GraphState:
    """Everything that the store shows of its state."""
    user_ids = page_all(store)
    exported = store.follows()
    ends = zip(exported.followers.tolist(), exported.followees.tolist(), strict=True)
    pairs = [(exported.user_ids[row], exported.user_ids[column]) for row, column in ends]
    assert exported.user_ids == user_ids
    assert len(set(pairs)) == len(pairs), "a follow was exported twice"
    labels = [label for kind in KINDS for label in store.labels(kind)]
    return GraphState(
        profiles={profile.user_id: profile for profile in store.profiles(user_ids)},
        posts={post.post_id: post for post in store.posts_of(user_ids)},
        follows=dict(zip(pairs, exported.since.tolist(), strict=True)),
        labels={key_of(label): label for label in labels},
    )


def page_all(store: GraphStore) -> list[str]:
    """All existing users, read in pages: a small one first, so that pages meet somewhere."""
    user_ids = store.user_ids(limit=PAGE_SIZE)
    while page := store.user_ids(after=user_ids[-1] if user_ids else None):
        assert not user_ids or page[0] > user_ids[-1], "a page begins within the one before"
        user_ids += page
    return user_ids


def key_of(label: Label) -> LabelKey:
    return (label.subject_kind, label.subject_id, label.task, label.annotator)


class Mirror:
    """What a consumer of the feed knows that never reads more than the keys that it was told."""

    def __init__(self, store: GraphStore) -> None:
        self.version = store.head().version
        state = read_state(store)
        self.profiles: dict[str, Profile] = dict(state.profiles)
        self.posts: dict[str, Post] = dict(state.posts)
        self.posts_of: dict[str, set[str]] = {}
        for post in self.posts.values():
            self.posts_of.setdefault(post.user_id, set()).add(post.post_id)
        self.follows = set(state.follows)
        self.labels: dict[LabelKey, Label] = dict(state.labels)

    def catch_up(self, store: GraphStore) -> None:
        """Apply all changes since the last call; a consumer reads the version first."""
        version = store.head().version
        for change in store.changes(self.version):
            assert self.version < change.version <= version
            self.version = change.version
            for user_id in change.users:
                self._refetch_user(store, user_id)
            for post in change.posts:
                self._refetch_post(store, post.post_id, post.author_id)
            for follower_id, followee_id, live in change.follows:
                keep = self.follows.add if live else self.follows.discard
                keep((follower_id, followee_id))
            for kind, subject_id, task, _ in change.labels:
                self._refetch_labels(store, kind, subject_id, task)
        self.version = version

    def _refetch_user(self, store: GraphStore, user_id: str) -> None:
        self.profiles.pop(user_id, None)
        for profile in store.profiles([user_id]):
            self.profiles[user_id] = profile

    def _refetch_post(self, store: GraphStore, post_id: str, author_id: str | None) -> None:
        self.posts.pop(post_id, None)
        for post in store.posts([post_id]):
            self.posts[post_id] = post
        if author_id is not None:
            self.posts_of[author_id] = {post.post_id for post in store.posts_of([author_id])}

    def _refetch_labels(
        self, store: GraphStore, kind: SubjectKind, subject_id: str, task: str
    ) -> None:
        for key in [key for key in self.labels if key[:3] == (kind, subject_id, task)]:
            del self.labels[key]
        for label in store.labels(kind, task=task, subject_ids=[subject_id]):
            self.labels[key_of(label)] = label

    def assert_equal(self, state: GraphState) -> None:
        """Fail where the mirror and the state differ."""
        assert self.profiles == state.profiles
        assert self.posts == state.posts
        assert self.follows == set(state.follows)
        assert self.labels == state.labels
        posts_of: dict[str, set[str]] = {}
        for post in state.posts.values():
            posts_of.setdefault(post.user_id, set()).add(post.post_id)
        assert {user: posts for user, posts in self.posts_of.items() if posts} == posts_of
