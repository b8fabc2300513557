"""The keys that a transaction has changed so far, which its commit adds to the change feed."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from graphdb.facts import SubjectKind
from graphdb.store import LabelChange, PostChange


@dataclass(slots=True)
class Draft:
    """The keys that a transaction has changed so far.

    `posts` holds whether the content of a post changed, or only counts; `authors` whose the posts
    are that the transaction speaks of; `mentions` (post_id, user_id) that came or went.
    """

    users: set[str] = field(default_factory=set)
    posts: dict[str, bool] = field(default_factory=dict)
    authors: dict[str, str] = field(default_factory=dict)
    mentions: set[tuple[str, str]] = field(default_factory=set)
    followers: list[str] = field(default_factory=list)
    followees: list[str] = field(default_factory=list)
    live: list[bool] = field(default_factory=list)
    labels: set[tuple[SubjectKind, str, str]] = field(default_factory=set)
    _num_follow_notes: int = 0

    def add_post(self, post_id: str, author_id: str | None, *, content_changed: bool) -> None:
        """Note a post; an author that was known once in the transaction stays known."""
        self.posts[post_id] = content_changed or self.posts.get(post_id, False)
        if author_id is not None:
            self.authors[post_id] = author_id

    def add_new_posts(self, posts: Collection[tuple[str, str]]) -> None:
        """Note posts of which nothing was known: (post_id, author_id)."""
        self.posts.update((post_id, True) for post_id, _ in posts)
        self.authors.update(posts)

    def add_follows(
        self, followers: Iterable[str], followees: Iterable[str], live: Iterable[bool]
    ) -> None:
        """Note different follows that came, went or began again; of a pair the last note counts."""
        self._num_follow_notes += 1
        self.followers.extend(followers)
        self.followees.extend(followees)
        self.live.extend(live)

    def add_labels(self, kind: SubjectKind, tasks: Iterable[tuple[str, str]]) -> None:
        """Note labels of one kind of subject: (subject_id, task)."""
        self.labels.update((kind, subject_id, task) for subject_id, task in tasks)

    def settle_follows(self) -> None:
        """Keep the last note of each pair; call it before the follows are stored."""
        if self._num_follow_notes <= 1:
            return
        ends = zip(self.followers, self.followees, strict=True)
        last = dict(zip(ends, self.live, strict=True))
        self.followers = [follower for follower, _ in last]
        self.followees = [followee for _, followee in last]
        self.live = list(last.values())

    def post_changes(self) -> list[PostChange]:
        """The posts as the feed's row holds them."""
        mentioned: dict[str, list[str]] = {}
        for post_id, user_id in sorted(self.mentions):
            mentioned.setdefault(post_id, []).append(user_id)
        return [
            PostChange(
                post_id, self.authors.get(post_id), changed, tuple(mentioned.get(post_id, ()))
            )
            for post_id, changed in self.posts.items()
        ]

    def label_changes(self) -> list[LabelChange]:
        """The labels as the feed's row holds them; a user's have no author."""
        return [
            LabelChange(kind, subject, task, self.authors.get(subject) if kind == "post" else None)
            for kind, subject, task in sorted(self.labels)
        ]

    @property
    def num_keys(self) -> int:
        """How many keys the feed's row will hold."""
        return len(self.users) + len(self.posts) + len(self.live) + len(self.labels)
