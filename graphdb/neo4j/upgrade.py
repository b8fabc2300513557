"""Brings a graph of an older format on a Neo4j server to the current one, a step a format.

A step goes on from wherever a killed one has stopped, and sets the next format in its last
transaction. Whoever changes the format adds a step.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial

from graphdb.neo4j.address import Address
from graphdb.neo4j.connection import Database, Transaction
from graphdb.neo4j.feed import trim_changes
from graphdb.neo4j.schema import identity, read_format, write_format
from graphdb.neo4j.version import lock

ALWAYS = 2**63 - 1
"""A time after all commits."""


def upgrade(url: str) -> Iterator[int]:
    """Do all steps that are left; give the format after each.

    Raises GraphUnavailable where there is no graph, FormatRefused where it is newer.
    """
    with closing(Database.open(Address.parse(url), read_only=False)) as database:
        while (found := read_format(database)) <= len(STEPS):
            STEPS[found - 1](database)
            yield found + 1
        identity(database)


def begin_feed_anew(database: Database) -> None:
    """From 1 to 2: changes do not tell whom posts mentioned, so stages have to rebuild."""
    trim_changes(database, older_than=ALWAYS, max_rows=0)
    database.write(partial(_finish, version=2), repeatable=True)


def _finish(tx: Transaction, version: int) -> None:
    lock(tx)
    write_format(tx, version)


STEPS: Sequence[Callable[[Database], None]] = (begin_feed_anew,)
"""The first starts from format 1, each later one from what the one before has made."""
