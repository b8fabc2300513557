"""The one row of `meta`: the format, the graph's identity, and its newest version."""

import os
import sqlite3
import uuid

from graphdb.errors import FormatTooNew, GraphUnavailable
from graphdb.sqlite.connection import Database
from graphdb.sqlite.schema import FORMAT_VERSION, TABLES
from graphdb.store import Head

SELECT_META = "SELECT format_version, graph_id, tombstone_key FROM meta"
INSERT_META = "INSERT INTO meta VALUES (1, ?, ?, ?, 0, 0)"
SELECT_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table'"
SELECT_HEAD = "SELECT version, commit_time FROM meta"
UPDATE_HEAD = "UPDATE meta SET version = ?, commit_time = ?"


def create_where_absent(database: Database) -> None:
    """Make the tables in an empty file; harmless to repeat."""
    with database.reading() as connection:
        if _tables(connection):
            return
    with database.writing() as connection:
        if not _tables(connection):
            for statement in TABLES.split(";\n"):
                connection.execute(statement)
            connection.execute(INSERT_META, (FORMAT_VERSION, uuid.uuid4().hex, os.urandom(32)))


def identity(database: Database) -> tuple[str, bytes]:
    """Graph id and tombstone key, of a file whose format this software knows."""
    with database.reading() as connection:
        if "meta" not in _tables(connection):
            raise GraphUnavailable(
                f"{database.path} is not a graph of this software; give another path"
            )
        format_version, graph_id, key = connection.execute(SELECT_META).fetchone()
    if format_version > FORMAT_VERSION:
        raise FormatTooNew(
            f"graph {database.path} has format {format_version}, this software knows "
            f"{FORMAT_VERSION}; install a newer version"
        )
    return graph_id, key


def read_head(connection: sqlite3.Connection) -> Head:
    """The newest version."""
    version, commit_time = connection.execute(SELECT_HEAD).fetchone()
    return Head(version=version, commit_time=commit_time)


def write_head(connection: sqlite3.Connection, head: Head) -> None:
    """Set the newest version."""
    connection.execute(UPDATE_HEAD, (head.version, head.commit_time))


def _tables(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute(SELECT_TABLES)}
