"""Profiles: the newest `user.updated` of each user, whole."""

from collections.abc import Sequence

from graphdb.facts import ProfileFact
from graphdb.neo4j.write import Write
from graphdb.rules.newest import newest_profiles, profile_order

PROFILE_FIELDS = (
    "username",
    "full_name",
    "biography",
    "follower_count",
    "following_count",
    "post_count",
    "is_verified",
    "created_at",
)
SELECT_PROFILE_ORDERS = """
UNWIND $ids AS id
MATCH (u:User {user_id: id}) WHERE u.time IS NOT NULL
RETURN collect([id, u.time, u.tie])"""
WRITE_PROFILES = f"""
UNWIND range(0, size($ids) - 1) AS i
MATCH (u:User {{user_id: $ids[i]}})
SET u.time = $time[i], u.tie = $tie[i],
    {", ".join(f"u.{name} = ${name}[i]" for name in PROFILE_FIELDS)}"""
VOID_PROFILES = f"""
UNWIND range(0, size($ids) - 1) AS i
MATCH (u:User {{user_id: $ids[i]}}) WHERE u.time <= $times[i]
REMOVE u.time, u.tie, {", ".join(f"u.{name}" for name in PROFILE_FIELDS)}"""


def apply_profiles(write: Write, facts: Sequence[ProfileFact]) -> None:
    """Merge a batch's profiles into the graph."""
    if not facts:
        return
    write.users.load({fact.user_id for fact in facts})
    newest = newest_profiles(facts, write.users.deleted_at)
    if not newest:
        return
    write.users.admit(existing=newest.keys())
    for user_id, time, tie in write.tx.ask(SELECT_PROFILE_ORDERS, ids=list(newest)):
        if profile_order(newest[user_id]) <= (time, tie):
            del newest[user_id]
    if not newest:
        return
    write.tx.do(
        WRITE_PROFILES,
        ids=list(newest),
        **{
            name: [getattr(fact, name) for fact in newest.values()]
            for name in ("time", "tie", *PROFILE_FIELDS)
        },
    )
    write.draft.users.update(newest)
    write.num_applied += len(newest)
