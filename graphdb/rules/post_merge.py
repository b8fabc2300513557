"""What a batch does to the posts that it speaks of, decided without the database.

A backend loads the states of the posts, lets the rules change them, and writes what changed.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from graphdb.facts import EngagementFact, PostDeletion, PostFact
from graphdb.rules.draft import Draft
from graphdb.rules.newest import newest_engagements
from graphdb.rules.post_state import Count, PostStates
from graphdb.rules.tombstones import NEVER


@dataclass(slots=True, kw_only=True)
class PostMerge:
    """The posts of one transaction, and what it did to them.

    `deleted_at` gives the time until which facts about a user are void; `hash_of` stands for an
    author who may be forgotten. `fresh` holds the facts of posts of which nothing else was ever
    said: they have no state and are written as they are. `voided` holds, for each post of which
    something may have gone, up to which time. `witnessed` holds, for each author, the newest proof
    of existence that no standing content holds any more, or ever did.
    """

    draft: Draft
    deleted_at: Callable[[str], int]
    hash_of: Callable[[str], bytes]
    states: PostStates = field(default_factory=PostStates)
    fresh: list[PostFact] = field(default_factory=list)
    voided: dict[str, int] = field(default_factory=dict)
    witnessed: dict[str, int] = field(default_factory=dict)
    num_applied: int = 0

    def void(self, post_id: str, until: int) -> None:
        """Void content, counts and labels of a post up to a time."""
        state = self.states[post_id]
        author_id, time = state.author_id, state.time
        author_hash = self.hash_of(author_id) if author_id else None
        if state.void(until, author_hash):
            content_went = author_id is not None and not state.is_live
            self.draft.add_post(post_id, author_id, content_changed=content_went)
            if not state.is_live:
                self._witness(author_id, time)
        self.voided[post_id] = max(until, self.voided.get(post_id, NEVER))

    def delete(self, deletions: Iterable[PostDeletion]) -> None:
        """Apply `post.deleted`."""
        for deletion in deletions:
            if deletion.time > self.states[deletion.post_id].void_until:
                self.num_applied += 1
                self.void(deletion.post_id, deletion.time)

    def create(self, facts: Collection[PostFact], times_told: Mapping[str, int]) -> set[str]:
        """Apply `post.created`; return the authors who exist by it.

        `times_told` says how many facts of the transaction speak of each post.
        """
        others: list[PostFact] = []
        for fact in facts:
            is_fresh = times_told[fact.post_id] == 1 and self._is_unknown(fact)
            (self.fresh if is_fresh else others).append(fact)
        self.draft.add_new_posts([(fact.post_id, fact.user_id) for fact in self.fresh])
        self.num_applied += len(self.fresh) + sum(map(self._create, others))
        authors = {fact.user_id for fact in self.fresh}
        authors.update(fact.user_id for fact in others if fact.time > self.deleted_at(fact.user_id))
        return authors

    def _is_unknown(self, fact: PostFact) -> bool:
        """Whether nothing stands of a post, and its author was never deleted."""
        return fact.post_id not in self.states and self.deleted_at(fact.user_id) == NEVER

    def _create(self, fact: PostFact) -> bool:
        state = self.states[fact.post_id]
        author_deleted = self.deleted_at(fact.user_id)
        if author_deleted != NEVER:
            self.void(fact.post_id, author_deleted)
        if fact.time <= state.void_until:
            state.remember_author(self.hash_of(fact.user_id))
            self._witness(fact.user_id, fact.time)
            return False
        author_id, time = state.author_id, state.time
        replaced = state.replace_content(fact)
        if author_id != fact.user_id:
            self._witness(*((author_id, time) if replaced else (fact.user_id, fact.time)))
        counted = state.replace_counts(
            _given(fact.like_count, fact), _given(fact.comment_count, fact)
        )
        if replaced or counted:
            self.draft.add_post(fact.post_id, state.author_id, content_changed=replaced)
        return replaced or counted

    def _witness(self, author_id: str | None, time: int) -> None:
        if author_id is not None and time > self.deleted_at(author_id):
            self.witnessed[author_id] = max(time, self.witnessed.get(author_id, NEVER))

    def engage(self, facts: Iterable[EngagementFact]) -> None:
        """Apply `post.engagement`."""
        for fact in newest_engagements(facts).values():
            state = self.states[fact.post_id]
            if fact.time > state.void_until and state.replace_counts(
                _given(fact.like_count, fact), _given(fact.comment_count, fact)
            ):
                self.draft.add_post(fact.post_id, state.author_id, content_changed=False)
                self.num_applied += 1

    def standing_mentions(self, fact: PostFact) -> set[str]:
        """Users whom content mentions, without those deleted since."""
        return {user_id for user_id in fact.mentions if fact.time > self.deleted_at(user_id)}


def _given(value: int | None, fact: PostFact | EngagementFact) -> Count | None:
    return None if value is None else Count(value, fact.time, fact.tie)
