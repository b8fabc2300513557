"""The one row of `meta`: the format, the graph's identity, and its newest version."""

import os
import sqlite3
import uuid

from foundation.format_version import GRAPH
from graphdb.errors import FormatRefused, GraphUnavailable
from graphdb.sqlite.connection import Database
from graphdb.sqlite.schema import TABLES
from graphdb.store import Head

SELECT_META = "SELECT format_version, graph_id, tombstone_key FROM meta"
INSERT_META = "INSERT INTO meta VALUES (1, ?, ?, ?, 0, 0)"
SELECT_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table'"
SELECT_HEAD = "SELECT version, commit_time FROM meta"
UPDATE_FORMAT = "UPDATE meta SET format_version = ?"
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
            connection.execute(INSERT_META, (GRAPH.version, uuid.uuid4().hex, os.urandom(32)))


def identity(database: Database) -> tuple[str, bytes]:
    """Graph id and tombstone key, of a file of the current format. Raises FormatRefused."""
    format_version, graph_id, key = _read_meta(database)
    if refusal := GRAPH.refusal(database.path, format_version):
        raise FormatRefused(refusal)
    return graph_id, key


def read_format(database: Database) -> int:
    """The version of the file's format."""
    return _read_meta(database)[0]


def write_format(connection: sqlite3.Connection, version: int) -> None:
    """Set the version of the file's format."""
    connection.execute(UPDATE_FORMAT, (version,))


def _read_meta(database: Database) -> tuple[int, str, bytes]:
    with database.reading() as connection:
        if "meta" not in _tables(connection):
            raise GraphUnavailable(
                f"{database.path} is not a graph of this software; give another path"
            )
        format_version, graph_id, key = connection.execute(SELECT_META).fetchone()
    return format_version, graph_id, key


def read_head(connection: sqlite3.Connection) -> Head:
    """The newest version."""
    version, commit_time = connection.execute(SELECT_HEAD).fetchone()
    return Head(version=version, commit_time=commit_time)


def write_head(connection: sqlite3.Connection, head: Head) -> None:
    """Set the newest version."""
    connection.execute(UPDATE_HEAD, (head.version, head.commit_time))


def _tables(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute(SELECT_TABLES)}
