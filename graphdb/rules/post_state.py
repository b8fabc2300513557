"""One post while a transaction works on it: the newest-wins rules, without the database."""

from typing import NamedTuple

from msgspec import Struct

from graphdb.facts import PostFact
from graphdb.rules.tombstones import NEVER


class Count(NamedTuple):
    """A number with the order of the fact that set it."""

    value: int | None = None
    time: int = NEVER
    tie: int = 0

    def is_older_than(self, other: "Count") -> bool:
        """Whether the other, later or of a greater tie, wins."""
        return self[1:] < other[1:]


UNKNOWN = Count()


class PostState(Struct, kw_only=True, gc=False):
    """What stands of a post, and what of it is to be written.

    `author_id` is the author of standing content; of a post without content the author is
    remembered by `author_hash` alone. Facts of time <= `void_until` are void.
    """

    post_id: str
    key: int | None = None
    author_id: str | None = None
    author_hash: bytes | None = None
    time: int = NEVER
    tie: int = 0
    likes: Count = UNKNOWN
    comments: Count = UNKNOWN
    void_until: int = NEVER
    was_live: bool = False
    new_content: PostFact | None = None
    content_changed: bool = False
    counts_changed: bool = False
    tombstone_changed: bool = False

    @property
    def is_live(self) -> bool:
        """Whether content stands."""
        return self.time != NEVER

    @property
    def needs_row(self) -> bool:
        """Whether anything stands."""
        return self.is_live or self.likes.time != NEVER or self.comments.time != NEVER

    def void(self, until: int, author_hash: bytes | None) -> bool:
        """Drop what is of time <= `until`, for ever; return whether content or counts went."""
        self.void_until = max(self.void_until, until)
        self.tombstone_changed = True
        gone = False
        if self.is_live and self.time <= until:
            self.author_id, self.time, self.tie, self.new_content = None, NEVER, 0, None
            self.content_changed = gone = True
        if author_hash is not None:
            self.author_hash = author_hash
        for name in ("likes", "comments"):
            if NEVER < getattr(self, name).time <= until:
                setattr(self, name, UNKNOWN)
                self.counts_changed = gone = True
        return gone

    def remember_author(self, author_hash: bytes) -> None:
        """Keep the author of content that is void: its deletion will void counts and labels."""
        self.author_hash = author_hash
        self.tombstone_changed = True
        self.content_changed = self.content_changed or not self.is_live

    def replace_content(self, fact: PostFact) -> bool:
        """Take the content of a fact that is not void, when it is newer; return whether."""
        if (fact.time, fact.tie) <= (self.time, self.tie):
            return False
        self.author_id, self.time, self.tie = fact.user_id, fact.time, fact.tie
        self.new_content = fact
        self.content_changed = True
        return True

    def replace_counts(self, likes: Count | None, comments: Count | None) -> bool:
        """Take counts that are given and newer; return whether one was."""
        changed = False
        if likes and self.likes.is_older_than(likes):
            self.likes, changed = likes, True
        if comments and self.comments.is_older_than(comments):
            self.comments, changed = comments, True
        self.counts_changed = self.counts_changed or changed
        return changed


class PostStates(dict[str, PostState]):
    """The posts of a transaction, by id; of one that nobody knows nothing stands yet."""

    def __missing__(self, post_id: str) -> PostState:
        state = self[post_id] = PostState(post_id=post_id)
        return state
