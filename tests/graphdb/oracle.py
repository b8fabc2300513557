"""A graph store that is right because it is simple: it keeps the facts and derives all else.

The reference for every backend in conformance tests and state machines. Its state is
`specification.graph_state` of the set of all facts ever applied, computed anew when that set
has grown.
"""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from graphdb.errors import ChangesTrimmed, PositionConflict
from graphdb.facts import FOREVER, Batch, Position, PositionMove, SubjectKind, UserDeletion
from graphdb.folds import fold
from graphdb.store import (
    Change,
    Commit,
    Direction,
    Follows,
    GraphCounts,
    Head,
    Label,
    LabelChange,
    Post,
    PostChange,
    Profile,
    Relation,
)
from tests.graphdb import specification
from tests.graphdb.specification import (
    Fact,
    Facts,
    GraphState,
    Key,
    facts_of,
    graph_state,
    sorted_unique,
    standing_facts,
)


@dataclass(slots=True, kw_only=True)
class Memory:
    """What survives the closing of an oracle: reopen it by giving it the same memory."""

    graph_id: str = field(default_factory=lambda: uuid4().hex)
    facts: set[Fact] = field(default_factory=set)
    positions: dict[tuple[str, int], Position] = field(default_factory=dict)
    head: Head = field(default_factory=lambda: Head(version=0, commit_time=0))
    changes: list[Change] = field(default_factory=list)
    trimmed_to: int = 0


class GraphOracle:
    """The `GraphStore` that all others are compared with."""

    def __init__(self, memory: Memory | None = None) -> None:
        self.memory = memory or Memory()
        self.state = graph_state(self.memory.facts)

    @property
    def graph_id(self) -> str:
        return self.memory.graph_id

    def apply(self, batch: Batch) -> Commit:
        memory = self.memory
        for move in batch.moves:
            self._check(move)
        for move in batch.moves:
            memory.positions[move.next.source, move.next.partition] = move.next
        facts = facts_of(batch)
        fresh = set(facts) - memory.facts
        memory.facts |= fresh
        memory.head = Head(
            version=memory.head.version + 1,
            commit_time=max(time.time_ns() // 1000, memory.head.commit_time + 1),
        )
        before, self.state = self.state, graph_state(memory.facts)
        memory.changes.append(change_between(before, self.state, memory.head))
        num_applied = len(fresh & standing_facts(Facts(memory.facts)))
        return Commit(
            version=memory.head.version,
            commit_time=memory.head.commit_time,
            num_applied=num_applied,
            num_superseded=len(facts) - num_applied,
        )

    def _check(self, move: PositionMove) -> None:
        stored = self.memory.positions.get((move.next.source, move.next.partition))
        if (stored and stored.offset) != move.expected:
            raise PositionConflict(
                f"{move.next.source} partition {move.next.partition} stands at "
                f"{stored and stored.offset}, expected {move.expected}: read the positions again"
            )

    def positions(self, source: str | None = None) -> list[Position]:
        stored = self.memory.positions.values()
        return [position for position in stored if source in (None, position.source)]

    def set_positions(self, positions: Sequence[Position]) -> None:
        for position in positions:
            self.memory.positions[position.source, position.partition] = position

    def head(self) -> Head:
        return self.memory.head

    def changes(self, since: int) -> Iterator[Change]:
        if not self.memory.trimmed_to <= since <= self.memory.head.version:
            raise ChangesTrimmed(
                f"changes are kept for versions {self.memory.trimmed_to} to "
                f"{self.memory.head.version}, not {since}: rebuild from the current state"
            )
        return iter([change for change in self.memory.changes if change.version > since])

    def trim_changes(self, *, older_than: int, max_rows: int) -> int:
        kept: list[Change] = []
        num_rows = 0
        for change in reversed(self.memory.changes):
            num_rows += num_keys(change)
            if change.commit_time < older_than or num_rows > max_rows:
                break
            kept.insert(0, change)
        dropped = self.memory.changes[: len(self.memory.changes) - len(kept)]
        if dropped:
            self.memory.trimmed_to = dropped[-1].version
        self.memory.changes = kept
        return len(dropped)

    def counts(self) -> GraphCounts:
        return specification.counts(self.state)

    def user_ids(self, *, after: str | None = None, limit: int = 10_000) -> list[str]:
        ids = sorted_unique(self.state.profiles)
        return [user_id for user_id in ids if after is None or user_id > after][:limit]

    def profiles(self, user_ids: Sequence[str]) -> list[Profile]:
        known = self.state.profiles
        return [known[user_id] for user_id in user_ids if user_id in known]

    def posts(self, post_ids: Sequence[str]) -> list[Post]:
        live = self.state.posts
        return [live[post_id] for post_id in post_ids if post_id in live]

    def posts_of(self, user_ids: Sequence[str]) -> list[Post]:
        newest_first = sorted(
            self.state.posts.values(), key=lambda post: (-post.time, post.post_id)
        )
        return [post for user_id in user_ids for post in newest_first if post.user_id == user_id]

    def labels(
        self,
        subject_kind: SubjectKind,
        *,
        task: str | None = None,
        subject_ids: Sequence[str] | None = None,
    ) -> list[Label]:
        return [
            label
            for (kind, subject_id, of_task, _), label in sorted(self.state.labels.items())
            if kind == subject_kind
            and task in (None, of_task)
            and (subject_ids is None or subject_id in subject_ids)
        ]

    def neighbours(self, user_id: str, direction: Direction) -> list[str]:
        followers = {a for a, b in self.state.follows if b == user_id}
        followees = {b for a, b in self.state.follows if a == user_id}
        ends = {
            "followers": followers,
            "followees": followees,
            "mutual": followers & followees,
        }
        return list(sorted_unique(ends[direction]))

    def sample(
        self,
        user_ids: Sequence[str],
        relation: Relation,
        fan_out: int,
        *,
        without_folds: Collection[int] = (),
        seed: int,
    ) -> list[list[str]]:
        random = Random(seed)
        around = {
            user_id: self._around(user_id, relation, without_folds) for user_id in set(user_ids)
        }
        return [
            random.sample(around[user_id], len(around[user_id]))[: None if fan_out < 0 else fan_out]
            for user_id in user_ids
        ]

    def degrees(
        self, user_ids: Sequence[str], relation: Relation, *, without_folds: Collection[int] = ()
    ) -> NDArray[np.int64]:
        found = [len(self._around(user_id, relation, without_folds)) for user_id in user_ids]
        return np.array(found, dtype=np.int64)

    def follows_among(
        self, follower_ids: Sequence[str], followee_ids: Sequence[str]
    ) -> NDArray[np.int64]:
        pairs = [
            (i, j)
            for i, follower in enumerate(follower_ids)
            for j, followee in enumerate(followee_ids)
            if (follower, followee) in self.state.follows
        ]
        return np.array(pairs, dtype=np.int64).reshape(-1, 2)

    def _around(
        self, user_id: str, relation: Relation, without_folds: Collection[int]
    ) -> list[str]:
        if relation in ("mentions", "mentioned_by"):
            named = {
                (post.user_id, name)
                for post in self.state.posts.values()
                for name in post.mentions
                if name in self.state.profiles and name != post.user_id
            }
            pairs = named if relation == "mentions" else {(b, a) for a, b in named}
            return list(sorted_unique(b for a, b in pairs if a == user_id))
        kept = {pair for pair in self.state.follows if fold(*pair) not in without_folds}
        followees = sorted_unique(b for a, b in kept if a == user_id)
        followers = sorted_unique(a for a, b in kept if b == user_id)
        return {
            "followees": list(followees),
            "followers": list(followers),
            "mutual": [each for each in followees if each in followers],
            "either": [*followees, *followers],
        }[relation]

    def follows(self) -> Follows:
        user_ids = list(sorted_unique(self.state.profiles))
        index = {user_id: row for row, user_id in enumerate(user_ids)}
        ends = list(self.state.follows)
        return Follows(
            user_ids=user_ids,
            followers=np.array([index[follower] for follower, _ in ends], dtype=np.int64),
            followees=np.array([index[followee] for _, followee in ends], dtype=np.int64),
            since=np.array(list(self.state.follows.values()), dtype=np.int64),
        )

    def erase(self, user_id: str) -> Commit:
        return self.apply(Batch(user_deletions=[UserDeletion(user_id=user_id, time=FOREVER)]))

    def digest(self) -> str:
        return specification.digest(self.state)

    def close(self) -> None:
        """Nothing to release; the memory outlives the oracle."""


def num_keys(change: Change) -> int:
    return len(change.users) + len(change.posts) + len(change.follows) + len(change.labels)


def change_between(before: GraphState, after: GraphState, head: Head) -> Change:
    """The keys whose visible content differs between two states: the least a feed must tell."""
    posts = {**after.posts, **before.posts}
    tasks = {key[:3] for key in differing(before.labels, after.labels)}
    authors = {post_id: post.user_id for post_id, post in posts.items()}
    return Change(
        version=head.version,
        commit_time=head.commit_time,
        users=differing(before.profiles, after.profiles),
        posts=[
            post_change(before.posts.get(post_id), after.posts.get(post_id))
            for post_id in differing(before.posts, after.posts)
        ],
        follows=[
            (*ends, ends in after.follows) for ends in differing(before.follows, after.follows)
        ],
        labels=[
            LabelChange(kind, subject, task, authors[subject] if kind == "post" else None)
            for kind, subject, task in sorted(tasks)
        ],
    )


def post_change(before: Post | None, after: Post | None) -> PostChange:
    """What the feed tells of a post that differs: of mentions alone, those that came or went."""
    known = [post for post in (before, after) if post is not None]
    contents = {replace(post, like_count=None, comment_count=None) for post in known}
    texts = {replace(post, mentions=()) for post in contents}
    mentions = [set(post.mentions) for post in known]
    same = set.intersection(*mentions) if len(known) == 2 and len(texts) == 1 else set()
    return PostChange(
        post_id=known[0].post_id,
        author_id=known[0].user_id,
        content_changed=len(known) < 2 or len(contents) > 1,
        mentioned=tuple(sorted(set.union(*mentions) - same)),
    )


def differing(before: Mapping[Key, object], after: Mapping[Key, object]) -> list[Key]:
    """Keys that only one of two mappings has, or that mean different things in them."""
    keys = dict.fromkeys([*before, *after])
    return [key for key in keys if before.get(key) != after.get(key)]
