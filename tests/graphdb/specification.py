"""The meaning of a set of facts, written to be read: the state as a pure function of the facts.

Nothing here is incremental, indexed or fast. A backend is right when it answers as this does.

A register holds, of the facts of one key that no deletion voids, the one with the greatest
(time, deletion over creation, tie). A deletion voids what has its time or an earlier one.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal, TypeVar

from graphdb.facts import (
    Batch,
    EngagementFact,
    LabelFact,
    PostDeletion,
    PostFact,
    ProfileFact,
    SubjectKind,
    UserDeletion,
)
from graphdb.image_reference import folder_and_reference
from graphdb.store import GraphCounts, Label, Post, Profile

NEVER = -1
"""The time of a deletion that has not happened; facts have times from 0."""

LabelKey = tuple[SubjectKind, str, str, str]
"""(subject kind, subject, task, annotator)"""

CountName = Literal["like_count", "comment_count"]

Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowFact:
    """One row of `FollowColumns`."""

    follower_id: str
    followee_id: str
    time: int
    tie: int
    live: bool


Fact = (
    ProfileFact | PostFact | EngagementFact | LabelFact | UserDeletion | PostDeletion | FollowFact
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphState:
    """All that a reader of the graph can see; stubs and tombstones are not in it."""

    profiles: dict[str, Profile]
    posts: dict[str, Post]
    follows: dict[tuple[str, str], int]
    labels: dict[LabelKey, Label]


class Registers(dict[Key, Value]):
    """For each key the value that was offered with the greatest rank."""

    def __init__(self) -> None:
        super().__init__()
        self.ranks: dict[Key, tuple[int, ...]] = {}

    def offer(self, key: Key, rank: tuple[int, ...], value: Value) -> None:
        if key not in self.ranks or rank > self.ranks[key]:
            self.ranks[key] = rank
            self[key] = value


class Facts:
    """A set of facts, and what its deletions void."""

    def __init__(self, facts: Iterable[Fact]) -> None:
        self.all = set(facts)
        self.profiles = [fact for fact in self.all if isinstance(fact, ProfileFact)]
        self.posts = [fact for fact in self.all if isinstance(fact, PostFact)]
        self.engagements = [fact for fact in self.all if isinstance(fact, EngagementFact)]
        self.labels = [fact for fact in self.all if isinstance(fact, LabelFact)]
        self.follows = [fact for fact in self.all if isinstance(fact, FollowFact)]
        self._user_deletions: Registers[str, UserDeletion] = Registers()
        self._post_deletions: Registers[str, PostDeletion] = Registers()
        for fact in self.all:
            if isinstance(fact, UserDeletion):
                self._user_deletions.offer(fact.user_id, (fact.time,), fact)
            elif isinstance(fact, PostDeletion):
                self._post_deletions.offer(fact.post_id, (fact.time,), fact)
        self._authors: defaultdict[str, set[str]] = defaultdict(set)
        for post in self.posts:
            self._authors[post.post_id].add(post.user_id)

    def user_deleted(self, user_id: str) -> int:
        """Time of the user's newest deletion."""
        deletion = self._user_deletions.get(user_id)
        return deletion.time if deletion else NEVER

    def post_deleted(self, post_id: str) -> int:
        """Time of the newest deletion of the post or of its author.

        The author is known from every post.created, void or not.
        """
        deletion = self._post_deletions.get(post_id)
        times = [self.user_deleted(author) for author in self._authors[post_id]]
        return max([deletion.time if deletion else NEVER, *times])

    def newest_deletions(self) -> list[UserDeletion | PostDeletion]:
        return [*self._user_deletions.values(), *self._post_deletions.values()]

    def subject_deleted(self, kind: SubjectKind, subject_id: str) -> int:
        return self.user_deleted(subject_id) if kind == "user" else self.post_deleted(subject_id)


def existing_users(facts: Facts) -> set[str]:
    """Users of whom something newer than their newest deletion was seen.

    What is void for one end, or superseded, is evidence all the same.
    """
    evidence = [(fact.user_id, fact.time) for fact in facts.profiles]
    evidence += [(fact.user_id, fact.time) for fact in facts.posts]
    for follow in facts.follows:
        if follow.live:
            evidence += [(follow.follower_id, follow.time), (follow.followee_id, follow.time)]
    return {user_id for user_id, time in evidence if time > facts.user_deleted(user_id)}


def newest_profiles(facts: Facts) -> Registers[str, ProfileFact]:
    newest: Registers[str, ProfileFact] = Registers()
    for fact in facts.profiles:
        if fact.time > facts.user_deleted(fact.user_id):
            newest.offer(fact.user_id, (fact.time, fact.tie), fact)
    return newest


def profiles(facts: Facts) -> dict[str, Profile]:
    """The newest profile of each existing user, all None where none stands."""
    newest = newest_profiles(facts)
    return {user_id: _profile(user_id, newest.get(user_id)) for user_id in existing_users(facts)}


def _profile(user_id: str, fact: ProfileFact | None) -> Profile:
    return Profile(
        user_id=user_id,
        time=fact.time if fact else None,
        username=fact.username if fact else None,
        full_name=fact.full_name if fact else None,
        biography=fact.biography if fact else None,
        follower_count=fact.follower_count if fact else None,
        following_count=fact.following_count if fact else None,
        post_count=fact.post_count if fact else None,
        is_verified=fact.is_verified if fact else None,
        created_at=fact.created_at if fact else None,
    )


def newest_contents(facts: Facts) -> Registers[str, PostFact]:
    newest: Registers[str, PostFact] = Registers()
    for fact in facts.posts:
        if fact.time > facts.post_deleted(fact.post_id):
            newest.offer(fact.post_id, (fact.time, fact.tie), fact)
    return newest


def newest_counts(facts: Facts, count: CountName) -> Registers[str, PostFact | EngagementFact]:
    """A post.created sets a count only where it gives one; engagement always gives both."""
    newest: Registers[str, PostFact | EngagementFact] = Registers()
    counted: list[PostFact | EngagementFact] = [*facts.posts, *facts.engagements]
    for fact in counted:
        given = getattr(fact, count) is not None
        if given and fact.time > facts.post_deleted(fact.post_id):
            newest.offer(fact.post_id, (fact.time, fact.tie), fact)
    return newest


def posts(facts: Facts) -> dict[str, Post]:
    """Live posts: the newest content, and each count from its own register."""
    likes = newest_counts(facts, "like_count")
    comments = newest_counts(facts, "comment_count")
    return {
        post_id: Post(
            post_id=post_id,
            user_id=fact.user_id,
            time=fact.time,
            caption=fact.caption,
            image=fact.image,
            hashtags=sorted_unique(fact.hashtags),
            mentions=sorted_unique(
                user_id for user_id in fact.mentions if fact.time > facts.user_deleted(user_id)
            ),
            like_count=likes[post_id].like_count if post_id in likes else None,
            comment_count=comments[post_id].comment_count if post_id in comments else None,
        )
        for post_id, fact in newest_contents(facts).items()
    }


def newest_follows(facts: Facts) -> Registers[tuple[str, str], FollowFact]:
    newest: Registers[tuple[str, str], FollowFact] = Registers()
    for fact in facts.follows:
        ends = (fact.follower_id, fact.followee_id)
        if fact.time > max(map(facts.user_deleted, ends)):
            newest.offer(ends, (fact.time, not fact.live, fact.tie), fact)
    return newest


def follows(facts: Facts) -> dict[tuple[str, str], int]:
    """(follower, followee) of the live follows, and since when."""
    return {ends: fact.time for ends, fact in newest_follows(facts).items() if fact.live}


def newest_labels(facts: Facts) -> Registers[LabelKey, LabelFact]:
    newest: Registers[LabelKey, LabelFact] = Registers()
    for fact in facts.labels:
        if fact.time > facts.subject_deleted(fact.subject_kind, fact.subject_id):
            key = (fact.subject_kind, fact.subject_id, fact.task, fact.annotator)
            newest.offer(key, (fact.time, not fact.labels, fact.tie), fact)
    return newest


def labels(facts: Facts, users: Iterable[str], live_posts: Iterable[str]) -> dict[LabelKey, Label]:
    """What each annotator says of existing users and live posts; empty labels withdraw."""
    subjects = {("user", user_id) for user_id in users} | {("post", post) for post in live_posts}
    return {
        key: Label(
            subject_kind=fact.subject_kind,
            subject_id=fact.subject_id,
            task=fact.task,
            annotator=fact.annotator,
            labels=sorted_unique(fact.labels),
            time=fact.time,
        )
        for key, fact in newest_labels(facts).items()
        if fact.labels and key[:2] in subjects
    }


def standing_facts(facts: Facts) -> set[Fact]:
    """The facts that hold a register, and the newest deletion of each key."""
    return {
        *newest_profiles(facts).values(),
        *newest_contents(facts).values(),
        *newest_counts(facts, "like_count").values(),
        *newest_counts(facts, "comment_count").values(),
        *newest_follows(facts).values(),
        *newest_labels(facts).values(),
        *facts.newest_deletions(),
    }


def graph_state(facts: Iterable[Fact]) -> GraphState:
    """The state that a set of facts means; order and repetition of the facts mean nothing."""
    known = Facts(facts)
    existing, live = profiles(known), posts(known)
    return GraphState(
        profiles=existing,
        posts=live,
        follows=follows(known),
        labels=labels(known, existing, live),
    )


def counts(state: GraphState) -> GraphCounts:
    """Sizes of a state; a mutual follow is a pair of users and counts once."""
    mutual = sum((followee, follower) in state.follows for follower, followee in state.follows)
    return GraphCounts(
        users=len(state.profiles),
        posts=len(state.posts),
        follows=len(state.follows),
        mutual_follows=mutual // 2,
    )


def digest(state: GraphState) -> str:
    """Sum modulo 2^128 of the BLAKE2b-128 of each item's compact JSON, as 32 digits."""
    total = 0
    for item in _digest_items(state):
        text = json.dumps(item, ensure_ascii=False, separators=(",", ":"))
        total += int.from_bytes(blake2b(text.encode(), digest_size=16).digest(), "big")
    return f"{total % 2**128:032x}"


def _digest_items(state: GraphState) -> Iterator[list[object]]:
    for user in state.profiles.values():
        # fmt: off
        yield ["user", user.user_id, user.username, user.full_name, user.biography,
               user.follower_count, user.following_count, user.post_count,
               user.is_verified, user.created_at]
    for post in state.posts.values():
        yield [
            "post",
            post.post_id,
            post.user_id,
            post.caption,
            post.image and folder_and_reference(post.image)[1],
            post.hashtags,
            post.mentions,
            post.like_count,
            post.comment_count,
            post.time,
        ]
        # fmt: on
    for (follower_id, followee_id), since in state.follows.items():
        yield ["follow", follower_id, followee_id, since]
    for (kind, subject_id, task, annotator), label in state.labels.items():
        yield ["label", kind, subject_id, task, label.labels, annotator]


def sorted_unique(texts: Iterable[str]) -> tuple[str, ...]:
    """Ascending in UTF-8 bytes, which is the order of code points and so Python's own."""
    return tuple(sorted(set(texts)))


def facts_of(batch: Batch) -> list[Fact]:
    """The facts of a batch, one by one; order within a batch means nothing."""
    columns = batch.follows
    rows = zip(
        columns.follower_ids,
        columns.followee_ids,
        columns.times,
        columns.ties,
        columns.live,
        strict=True,
    )
    return [
        *(
            FollowFact(follower_id=follower, followee_id=followee, time=time, tie=tie, live=live)
            for follower, followee, time, tie, live in rows
        ),
        *batch.profiles,
        *batch.posts,
        *batch.engagements,
        *batch.labels,
        *batch.user_deletions,
        *batch.post_deletions,
    ]
