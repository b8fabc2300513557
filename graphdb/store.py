"""The contract of a graph store, and what it returns.

A store is chosen by the scheme of its URL (`open_graph`). Identity is our own: user and post ids
are strings; ids that a database makes never leave its backend.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from graphdb.facts import Batch, Position, SubjectKind

Direction = Literal["followers", "followees", "mutual"]

Relation = Literal["followers", "followees", "mutual", "either", "mentions", "mentioned_by"]
"""Who is a neighbour of a user. `either` counts each live follow, at whichever end the user is;
`mentions` are those whom a live post of the user names, `mentioned_by` the authors of such posts,
each once and never the user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The newest graph version and when it was committed (microseconds; 0 and 0 when empty)."""

    version: int
    commit_time: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """What a batch did: its version, and how many facts changed the state or were superseded.

    Superseded facts are duplicates, late ones, and those that a deletion voids.
    """

    version: int
    commit_time: int
    num_applied: int
    num_superseded: int


class PostChange(NamedTuple):
    """A post that came, went or changed; the author is None for a stub.

    Where only counts changed, `content_changed` is False. `mentioned` are the users whom content
    that came or went mentions, and those whose mention was voided: ascending and unique.
    """

    post_id: str
    author_id: str | None
    content_changed: bool
    mentioned: tuple[str, ...] = ()


class LabelChange(NamedTuple):
    """A subject and a task whose labels changed; of a post with its author, None for a stub."""

    subject_kind: SubjectKind
    subject_id: str
    task: str
    author_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The keys that one commit changed, never their content.

    `users` came, went or changed their profile. `follows` are (follower_id, followee_id, live).
    """

    version: int
    commit_time: int
    users: Sequence[str]
    posts: Sequence[PostChange]
    follows: Sequence[tuple[str, str, bool]]
    labels: Sequence[LabelChange]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """An existing user; all but the id is None when only a follow or a post is known."""

    user_id: str
    time: int | None
    username: str | None
    full_name: str | None
    biography: str | None
    follower_count: int | None
    following_count: int | None
    post_count: int | None
    is_verified: bool | None
    created_at: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """A live post with its counts; hashtags and mentions sorted and unique.

    `image` is as `graphdb.image_reference` has it.
    """

    post_id: str
    user_id: str
    time: int
    caption: str
    image: str | None
    hashtags: tuple[str, ...]
    mentions: tuple[str, ...]
    like_count: int | None
    comment_count: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A standing label of an existing user or a live post."""

    subject_kind: SubjectKind
    subject_id: str
    task: str
    annotator: str
    labels: tuple[str, ...]
    time: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Follows:
    """All live follows as columns of length E, ends as indices into `user_ids` (length N).

    `user_ids` are all existing users in ascending order of their UTF-8 bytes.
    """

    user_ids: list[str]
    followers: NDArray[np.int64]
    followees: NDArray[np.int64]
    since: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphCounts:
    """Existing users, live posts, live follows, and pairs of users who follow each other."""

    users: int
    posts: int
    follows: int
    mutual_follows: int


@runtime_checkable
class Prepares(Protocol):
    """A store that can do a part of its work on a batch before the batch's turn."""

    def prepare(self, batch: Batch) -> Batch:
        """The same batch, which `apply` will be quicker with; may be called in any thread."""


class GraphStore(Protocol):
    """A social graph whose state is a function of the set of facts that it was given."""

    @property
    def graph_id(self) -> str:
        """Random identity of this graph; versions are relative to it."""

    def is_replaced(self) -> bool:
        """Whether there is another graph now, or none, where this one was opened."""

    def apply(self, batch: Batch) -> Commit:
        """Commit facts and positions in one transaction, as one new version.

        Raises PositionConflict, with nothing applied, when a stored offset is not the expected
        one; GraphUnavailable when the store cannot be written.
        """

    def positions(self, source: str | None = None) -> list[Position]:
        """Stored positions, of one source or of all."""

    def set_positions(self, positions: Sequence[Position]) -> None:
        """Overwrite positions in a transaction of their own (a replay is harmless)."""

    def head(self) -> Head:
        """The newest version."""

    def changes(self, since: int) -> Iterator[Change]:
        """Changes of the versions above `since`, ascending.

        Raises ChangesTrimmed when one of them is no longer kept or `since` is beyond the head.
        """

    def trim_changes(self, *, older_than: int, max_rows: int) -> int:
        """Drop changes committed before `older_than` (microseconds) and all but the newest
        `max_rows` changed keys; return the number of versions dropped."""

    def counts(self) -> GraphCounts:
        """Sizes of the graph, stubs and tombstones left out."""

    def user_ids(self, *, after: str | None = None, limit: int = 10_000) -> list[str]:
        """A page of existing users in ascending order of the id's UTF-8 bytes."""

    def profiles(self, user_ids: Sequence[str]) -> list[Profile]:
        """Those of the users that exist, in the order asked."""

    def posts(self, post_ids: Sequence[str]) -> list[Post]:
        """Those of the posts that are live, in the order asked."""

    def posts_of(self, user_ids: Sequence[str]) -> list[Post]:
        """Live posts of these users: users in the order asked, newest first (then by id)."""

    def labels(
        self,
        subject_kind: SubjectKind,
        *,
        task: str | None = None,
        subject_ids: Sequence[str] | None = None,
    ) -> list[Label]:
        """Standing labels in ascending order of (subject, task, annotator)."""

    def neighbours(self, user_id: str, direction: Direction) -> list[str]:
        """Users at the other end of the live follows of one user, ascending."""

    def sample(
        self,
        user_ids: Sequence[str],
        relation: Relation,
        fan_out: int,
        *,
        without_folds: Collection[int] = (),
        seed: int,
    ) -> list[list[str]]:
        """Up to `fan_out` neighbours of each user, uniform without replacement (-1: all).

        Follows of `without_folds` do not count (a mutual one needs both of its own); mentions have
        no folds. Users are independent of each other, one asked twice of itself too. The seed and
        the graph decide the draw, but for mentions on Neo4j. Unknown users have no neighbours.
        """

    def degrees(
        self, user_ids: Sequence[str], relation: Relation, *, without_folds: Collection[int] = ()
    ) -> NDArray[np.int64]:
        """Number of neighbours of each user, 0 for an unknown one."""

    def follows_among(
        self, follower_ids: Sequence[str], followee_ids: Sequence[str]
    ) -> NDArray[np.int64]:
        """Live follows from any of these to any of those: positions in both sequences (F, 2).

        The followees are distinct; the order of the rows is free.
        """

    def follows(self) -> Follows:
        """Bulk export of the live follows, consistent in itself."""

    def erase(self, user_id: str) -> Commit:
        """Delete a user and void, for ever, whatever is said about them."""

    def digest(self) -> str:
        """32 hexadecimal digits that are equal exactly when two graphs hold the same state."""

    def close(self) -> None:
        """Release the store; using it afterwards is an error."""
