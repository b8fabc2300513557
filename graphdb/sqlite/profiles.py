"""Profiles: the newest `user.updated` of each user, whole."""

from collections.abc import Sequence

from graphdb.facts import ProfileFact
from graphdb.sqlite import statements
from graphdb.sqlite.json_keys import json_keys
from graphdb.sqlite.write import Write


def apply_profiles(write: Write, facts: Sequence[ProfileFact]) -> None:
    """Merge a batch's profiles into the graph."""
    users = write.users
    users.load({fact.user_id for fact in facts})
    newest: dict[str, ProfileFact] = {}
    for fact in facts:
        if fact.time <= users.deleted_at(fact.user_id):
            continue
        rival = newest.get(fact.user_id)
        if rival is None or _order(fact) > _order(rival):
            newest[fact.user_id] = fact
    users.admit(existing=newest.keys())
    keys = {users.keys[user_id]: fact for user_id, fact in newest.items()}
    for key, time, tie in write.connection.execute(
        statements.SELECT_PROFILE_ORDERS, (json_keys(sorted(keys)),)
    ).fetchall():
        if _order(keys[key]) <= (time, tie):
            del keys[key]
    write.connection.executemany(statements.WRITE_PROFILE, map(_row, keys, keys.values()))
    write.draft.users.update(fact.user_id for fact in keys.values())
    write.num_applied += len(keys)


def _order(fact: ProfileFact) -> tuple[int, int]:
    return fact.time, fact.tie


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
