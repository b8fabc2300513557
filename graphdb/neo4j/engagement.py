"""Counts of posts that nothing else in the batch changes: the server applies the rule itself."""

from dataclasses import dataclass, field

from graphdb.facts import Batch, EngagementFact
from graphdb.neo4j.write import Write
from graphdb.rules.newest import newest_engagements
from graphdb.rules.tombstones import NEVER

# Each count is a fact of its own: the newer wins, of one time that of the greater tie.
WRITE_ENGAGEMENT = """
UNWIND range(0, size($ids) - 1) AS i
MATCH (p:Post {post_id: $ids[i]})
USING INDEX SEEK p:Post(post_id)
WITH i, p,
    coalesce(p.like_time < $times[i] OR p.like_time = $times[i] AND p.like_tie < $ties[i], true)
        AS likes,
    coalesce(p.comment_time < $times[i]
        OR p.comment_time = $times[i] AND p.comment_tie < $ties[i], true) AS comments
FOREACH (q IN CASE WHEN likes THEN [p] ELSE [] END | SET q.like_count = $like_counts[i],
    q.like_time = $times[i], q.like_tie = $ties[i])
FOREACH (q IN CASE WHEN comments THEN [p] ELSE [] END | SET q.comment_count = $comment_counts[i],
    q.comment_time = $times[i], q.comment_tie = $ties[i])
WITH i, p, likes OR comments AS won
MATCH (p)<-[:POSTED]-(a:User)
RETURN collect(i), collect(CASE WHEN won THEN i END), collect(CASE WHEN won THEN a.user_id END)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngagementPlan:
    """A batch's engagements: of each post the newest.

    `alone` are those of posts of which the batch says nothing else, `others` the rest.
    """

    alone: list[EngagementFact] = field(default_factory=list)
    others: list[EngagementFact] = field(default_factory=list)

    @classmethod
    def of(cls, batch: Batch) -> "EngagementPlan":
        """Sort out a batch's engagements; a deletion of users may concern the posts of all."""
        if not batch.engagements:
            return cls()
        newest = newest_engagements(batch.engagements)
        if batch.user_deletions:
            return cls(others=list(newest.values()))
        told = {fact.post_id for facts in (batch.posts, batch.post_deletions) for fact in facts}
        plan = cls()
        for post_id, fact in newest.items():
            (plan.others if post_id in told else plan.alone).append(fact)
        return plan


def apply_engagements(write: Write, facts: list[EngagementFact]) -> list[EngagementFact]:
    """Merge counts into posts; return the facts of posts that have no content, or no node."""
    if not facts:
        return []
    voids = write.tombstones.of_posts(fact.post_id for fact in facts)
    standing = [fact for fact in facts if fact.time > voids.get(fact.post_id, (NEVER, None))[0]]
    if not standing:
        return []
    found, won, authors = write.tx.ask(
        WRITE_ENGAGEMENT,
        ids=[fact.post_id for fact in standing],
        times=[fact.time for fact in standing],
        ties=[fact.tie for fact in standing],
        like_counts=[fact.like_count for fact in standing],
        comment_counts=[fact.comment_count for fact in standing],
    )
    for i, author_id in zip(won, authors, strict=True):
        write.draft.add_post(standing[i].post_id, author_id, content_changed=False)
    write.num_applied += len(won)
    missing = set(range(len(standing))).difference(found)
    return [standing[i] for i in sorted(missing)]
