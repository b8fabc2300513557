"""Profiles: the newest `user.updated` of each user, whole."""

from collections.abc import Sequence

from graphdb.facts import ProfileFact
from graphdb.neo4j import statements
from graphdb.neo4j.write import Write
from graphdb.rules.newest import newest_profiles, profile_order


def apply_profiles(write: Write, facts: Sequence[ProfileFact]) -> None:
    """Merge a batch's profiles into the graph."""
    if not facts:
        return
    write.users.load({fact.user_id for fact in facts})
    newest = newest_profiles(facts, write.users.deleted_at)
    if not newest:
        return
    write.users.admit(existing=newest.keys())
    for user_id, time, tie in write.tx.ask(statements.SELECT_PROFILE_ORDERS, ids=list(newest)):
        if profile_order(newest[user_id]) <= (time, tie):
            del newest[user_id]
    if not newest:
        return
    write.tx.do(
        statements.WRITE_PROFILES,
        ids=list(newest),
        **{
            name: [getattr(fact, name) for fact in newest.values()]
            for name in ("time", "tie", *statements.PROFILE_FIELDS)
        },
    )
    write.draft.users.update(newest)
    write.num_applied += len(newest)
