"""What a batch is sorted out into before its transaction, so that other writers need not wait."""

from dataclasses import dataclass

from graphdb.facts import Batch
from graphdb.neo4j.engagement import EngagementPlan
from graphdb.neo4j.follows import FollowPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPlan:
    """Of each pair and of the counts of each post the newest."""

    follows: FollowPlan
    engagements: EngagementPlan

    @classmethod
    def of(cls, batch: Batch) -> "BatchPlan":
        """Sort out a batch."""
        return cls(follows=FollowPlan.of(batch.follows), engagements=EngagementPlan.of(batch))
