"""Follows: many a second, so in columns from the batch to the server, which applies the rule."""

from dataclasses import dataclass
from itertools import chain, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphdb.facts import FollowColumns
from graphdb.folds import fold
from graphdb.neo4j.users import NODE_LABELS
from graphdb.neo4j.write import Write
from graphdb.rules.follow_rows import FollowRows, newest, pair_of
from graphdb.rules.stamps import stamps
from graphdb.rules.void_follows import ends_that_exist, without_void

Columns = dict[str, list[Any]]

# The rule of the newest: a follow wins over an older follow, of a lesser tie where they are of
# one time, and over an unfollow of an earlier time. One that lost to an unfollow is remembered by
# it as `created`, which proves that both users existed. By whether there is any unfollow.
_MEET_UNFOLLOWED = """
OPTIONAL MATCH (a)-[u:UNFOLLOWED]->(b)
WITH i, a, b, u, coalesce(u.time >= $times[i], false) AS lost
FOREACH (ended IN CASE WHEN lost AND coalesce(u.created, -1) < $times[i] THEN [u] ELSE [] END
    | SET ended.created = $times[i])
WITH i, a, b, u, lost WHERE NOT lost
DELETE u"""
WRITE_FOLLOWS = {
    have_unfollowed: f"""
UNWIND range(0, size($followers) - 1) AS i
MATCH (a:User {{user_id: $followers[i]}})
MATCH (b:User {{user_id: $followees[i]}}){_MEET_UNFOLLOWED if have_unfollowed else ""}
MERGE (a)-[f:FOLLOWS]->(b)
WITH i, f WHERE f.since IS NULL OR f.since < $times[i]
    OR (f.since = $times[i] AND f.tie < $ties[i])
SET f.since = $times[i], f.tie = $ties[i], f.fold = $folds[i]
RETURN collect(i)"""
    for have_unfollowed in (False, True)
}
WRITE_UNFOLLOWS = {
    (follower, followee): f"""
UNWIND range(0, size($followers) - 1) AS i
MATCH (a:{follower} {{user_id: $followers[i]}})
MATCH (b:{followee} {{user_id: $followees[i]}})
OPTIONAL MATCH (a)-[f:FOLLOWS]->(b)
WITH i, a, b, f WHERE f IS NULL OR f.since <= $times[i]
WITH i, a, b, f, f.since AS since
DELETE f
MERGE (a)-[u:UNFOLLOWED]->(b)
WITH i, u, reduce(newest = -1, time IN [since, u.created, $created[i]]
        | CASE WHEN time > newest THEN time ELSE newest END) AS created,
    u.time IS NULL OR u.time < $times[i] OR (u.time = $times[i] AND u.tie < $ties[i]) AS won
SET u.created = CASE WHEN created >= 0 THEN created END,
    u.time = CASE WHEN won THEN $times[i] ELSE u.time END,
    u.tie = CASE WHEN won THEN $ties[i] ELSE u.tie END
RETURN collect(CASE WHEN won THEN i END)"""
    for follower, followee in product(NODE_LABELS, NODE_LABELS)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowPlan:
    """A batch's follows as they will be sent: of each pair the newest.

    It is made before the transaction, so that other writers need not wait for it.
    """

    facts: FollowColumns
    user_ids: set[str]
    existing: set[str]
    follows: Columns
    unfollows: Columns

    @classmethod
    def of(cls, facts: FollowColumns) -> "FollowPlan":
        """Sort out a batch's facts."""
        user_ids = set(chain(facts.follower_ids, facts.followee_ids))
        if not user_ids:
            return cls(facts=facts, user_ids=set(), existing=set(), follows={}, unfollows={})
        rows, winners = _newest(facts, user_ids)
        follows = _columns(facts, winners[rows.live])
        follows["folds"] = list(map(fold, follows["followers"], follows["followees"]))
        unfollows = _columns(facts, winners[~rows.live])
        unfollows["created"] = rows.created[~rows.live].tolist()
        existing = user_ids if all(facts.live) else ends_that_exist(facts)
        return cls(
            facts=facts,
            user_ids=user_ids,
            existing=existing,
            follows=follows,
            unfollows=unfollows,
        )


def apply_follows(write: Write, plan: FollowPlan) -> None:
    """Merge a batch's follows and unfollows into the graph."""
    users = write.users
    users.load(plan.user_ids)
    if not users.none_deleted(plan.user_ids):
        standing, evidence = without_void(plan.facts, users.deleted_at)
        users.admit(existing=evidence.keys())
        users.witness(evidence)
        plan = FollowPlan.of(standing)
    users.admit(existing=plan.existing, mentioned=plan.user_ids)
    if plan.follows.get("followers"):
        won = write.tx.ask(WRITE_FOLLOWS[write.present.unfollowed], **plan.follows)
        _report(write, plan.follows, won, live=True)
    if plan.unfollows.get("followers"):
        _write_unfollows(write, plan.unfollows)


def _newest(facts: FollowColumns, user_ids: set[str]) -> tuple[FollowRows, NDArray[np.int64]]:
    """One row a pair, and the index of the fact that won it."""
    number = {user_id: key for key, user_id in enumerate(user_ids)}.__getitem__
    followers = np.array(list(map(number, facts.follower_ids)), dtype=np.int64)
    followees = np.array(list(map(number, facts.followee_ids)), dtype=np.int64)
    return newest(
        pair_of(followers, followees),
        stamps(facts.times, facts.live),
        np.array(facts.ties, dtype=np.int64),
    )


def _columns(facts: FollowColumns, chosen: NDArray[np.int64]) -> Columns:
    rows = chosen.tolist()
    return {
        "followers": [facts.follower_ids[i] for i in rows],
        "followees": [facts.followee_ids[i] for i in rows],
        "times": [facts.times[i] for i in rows],
        "ties": [facts.ties[i] for i in rows],
    }


def _write_unfollows(write: Write, unfollows: Columns) -> None:
    """The ends of an unfollow may be stubs: one statement for each kind of ends."""
    kinds: dict[tuple[str, str], list[int]] = {}
    for row, ends in enumerate(zip(unfollows["followers"], unfollows["followees"], strict=True)):
        follower, followee = (write.users.label_of(end) for end in ends)
        kinds.setdefault((follower, followee), []).append(row)
    for kind, rows in kinds.items():
        part = {name: [column[row] for row in rows] for name, column in unfollows.items()}
        won = write.tx.ask(WRITE_UNFOLLOWS[kind], **part)
        _report(write, part, won, live=False)


def _report(write: Write, columns: Columns, won: list[int], *, live: bool) -> None:
    write.num_applied += len(won)
    write.draft.add_follows(
        [columns["followers"][i] for i in won],
        [columns["followees"][i] for i in won],
        [live] * len(won),
    )
