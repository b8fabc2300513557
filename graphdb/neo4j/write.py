"""The state of one write transaction, which its parts have in common."""

from dataclasses import dataclass
from typing import NamedTuple

from graphdb.neo4j.connection import Transaction
from graphdb.neo4j.tombstones import Tombstones
from graphdb.neo4j.users import Users
from graphdb.rules.draft import Draft


class Present(NamedTuple):
    """Of what there may be any; what there is none of need not be looked for."""

    user_tombstones: bool = True
    post_tombstones: bool = True
    unfollowed: bool = True
    stub_posts: bool = True


ANYTHING = Present()
"""What has not been asked may be there."""


@dataclass(slots=True, kw_only=True)
class Write:
    """One write transaction: its connection, what it knows, and what it has done so far."""

    tx: Transaction
    tombstones: Tombstones
    users: Users
    draft: Draft
    present: Present
    num_applied: int = 0
