"""The state of one write transaction, which its parts have in common."""

from dataclasses import dataclass

from graphdb.neo4j.connection import Transaction
from graphdb.neo4j.tombstones import Tombstones
from graphdb.neo4j.users import Users
from graphdb.rules.draft import Draft


@dataclass(slots=True, kw_only=True)
class Write:
    """One write transaction: its connection, what it knows, and what it has done so far."""

    tx: Transaction
    tombstones: Tombstones
    users: Users
    draft: Draft
    have_unfollowed: bool
    num_applied: int = 0
