"""Follows that a deletion voids: they are left out, but prove that the other end existed."""

from collections.abc import Callable

from graphdb.facts import FollowColumns
from graphdb.rules.tombstones import NEVER


def without_void(
    columns: FollowColumns, deleted_at: Callable[[str], int]
) -> tuple[FollowColumns, dict[str, int]]:
    """The facts that no deletion voids, and per user the newest proof that the others give.

    A `follow.created` that is void at one end still proves that the other existed.
    """
    kept = FollowColumns()
    evidence: dict[str, int] = {}
    for follower, followee, time, tie, live in zip(
        columns.follower_ids,
        columns.followee_ids,
        columns.times,
        columns.ties,
        columns.live,
        strict=True,
    ):
        proven = [end for end in (follower, followee) if time > deleted_at(end)]
        if len(proven) == 2:
            kept.follower_ids.append(follower)
            kept.followee_ids.append(followee)
            kept.times.append(time)
            kept.ties.append(tie)
            kept.live.append(live)
        elif proven and live:
            evidence[proven[0]] = max(time, evidence.get(proven[0], NEVER))
    return kept, evidence


def ends_that_exist(columns: FollowColumns) -> set[str]:
    """Users that a `follow.created` among these proves to exist."""
    existing: set[str] = set()
    for ends in (columns.follower_ids, columns.followee_ids):
        existing.update(end for end, live in zip(ends, columns.live, strict=True) if live)
    return existing
