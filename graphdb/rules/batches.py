"""A batch as a whole: its size, its posts, and whether it may go on from what is stored."""

from collections import Counter

from graphdb.errors import PositionConflict
from graphdb.facts import Batch, PositionMove


def num_facts(batch: Batch) -> int:
    """How many facts a batch holds."""
    return (
        len(batch.follows)
        + len(batch.profiles)
        + len(batch.posts)
        + len(batch.engagements)
        + len(batch.labels)
        + len(batch.user_deletions)
        + len(batch.post_deletions)
    )


def post_ids(batch: Batch) -> Counter[str]:
    """The posts that a batch speaks of, and how many of its facts do."""
    times = Counter([fact.post_id for fact in batch.posts])
    times.update([fact.post_id for fact in batch.engagements])
    times.update([fact.post_id for fact in batch.post_deletions])
    times.update([fact.subject_id for fact in batch.labels if fact.subject_kind == "post"])
    return times


def check_move(move: PositionMove, stored: int | None) -> None:
    """Raise PositionConflict unless the partition stands where its move expects it."""
    if stored != move.expected:
        raise PositionConflict(
            f"partition {move.next.partition} of {move.next.source} stands at {stored}, not at "
            f"{move.expected}: another process has moved it; read the positions again and go on "
            "from there"
        )
