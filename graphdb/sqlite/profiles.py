"""Profiles: the newest `user.updated` of each user, whole."""

from collections.abc import Sequence

from graphdb.facts import ProfileFact
from graphdb.rules.newest import newest_profiles, profile_order
from graphdb.sqlite.json_keys import json_keys
from graphdb.sqlite.write import Write

SELECT_PROFILE_ORDERS = """
    SELECT user, time, tie FROM json_each(?) AS asked CROSS JOIN profiles ON user = asked.value"""
WRITE_PROFILE = "INSERT OR REPLACE INTO profiles VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


def apply_profiles(write: Write, facts: Sequence[ProfileFact]) -> None:
    """Merge a batch's profiles into the graph."""
    users = write.users
    users.load({fact.user_id for fact in facts})
    newest = newest_profiles(facts, users.deleted_at)
    users.admit(existing=newest.keys())
    keys = {users.keys[user_id]: fact for user_id, fact in newest.items()}
    for key, time, tie in write.connection.execute(
        SELECT_PROFILE_ORDERS, (json_keys(sorted(keys)),)
    ).fetchall():
        if profile_order(keys[key]) <= (time, tie):
            del keys[key]
    write.connection.executemany(WRITE_PROFILE, map(_row, keys, keys.values()))
    write.draft.users.update(fact.user_id for fact in keys.values())
    write.num_applied += len(keys)


def _row(key: int, fact: ProfileFact) -> tuple[object, ...]:
    return (
        key,
        fact.time,
        fact.tie,
        fact.username,
        fact.full_name,
        fact.biography,
        fact.follower_count,
        fact.following_count,
        fact.post_count,
        fact.is_verified,
        fact.created_at,
    )
