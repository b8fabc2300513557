"""Brings an embedded graph of an older format to the current one, a step a format.

A step goes on from wherever a killed one has stopped, and sets the next format in its last
transaction. Whoever changes the format adds a step.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from graphdb.sqlite.connection import Database
from graphdb.sqlite.feed import trim_changes
from graphdb.sqlite.meta import identity, read_format, write_format

ALWAYS = 2**63 - 1
"""A time after all commits."""


def upgrade(path: Path) -> Iterator[int]:
    """Do all steps that are left; give the format after each.

    Raises GraphUnavailable where there is no graph, FormatRefused where it is newer.
    """
    Database.open(path, read_only=True).close()  # a writer would create the file
    with closing(Database.open(path, read_only=False)) as database:
        while (found := read_format(database)) <= len(STEPS):
            STEPS[found - 1](database)
            yield found + 1
        identity(database)


def begin_feed_anew(database: Database) -> None:
    """From 1 to 2: changes do not tell whom posts mentioned, so stages have to rebuild."""
    trim_changes(database, older_than=ALWAYS, max_rows=0)
    with database.writing() as connection:
        write_format(connection, 2)


STEPS: Sequence[Callable[[Database], None]] = (begin_feed_anew,)
"""The first starts from format 1, each later one from what the one before has made."""
