"""The state of one write transaction, which its parts have in common."""

import sqlite3
from dataclasses import dataclass

from graphdb.rules.draft import Draft
from graphdb.sqlite.tombstones import Tombstones
from graphdb.sqlite.users import Users


@dataclass(slots=True, kw_only=True)
class Write:
    """One write transaction: its connection, what it knows, and what it has done so far."""

    connection: sqlite3.Connection
    tombstones: Tombstones
    users: Users
    draft: Draft
    num_applied: int = 0
