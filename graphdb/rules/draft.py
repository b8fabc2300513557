"""The keys that a transaction has changed so far, which its commit adds to the change feed."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from graphdb.facts import SubjectKind


@dataclass(slots=True)
class Draft:
    """The keys that a transaction has changed so far."""

    users: set[str] = field(default_factory=set)
    posts: dict[str, str | None] = field(default_factory=dict)
    followers: list[str] = field(default_factory=list)
    followees: list[str] = field(default_factory=list)
    live: list[bool] = field(default_factory=list)
    labels: set[tuple[SubjectKind, str, str]] = field(default_factory=set)
    _num_follow_notes: int = 0

    def add_post(self, post_id: str, author_id: str | None) -> None:
        """Note a post; an author that was known once in the transaction stays known."""
        self.posts[post_id] = author_id or self.posts.get(post_id)

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

    @property
    def num_keys(self) -> int:
        """How many keys the feed's row will hold."""
        return len(self.users) + len(self.posts) + len(self.live) + len(self.labels)
