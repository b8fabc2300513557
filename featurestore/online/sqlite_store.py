"""The online store in one SQLite file, with Feast's own byte layout, without importing Feast.

A feature view is Feast's table `PROJECT_VIEW`, with one row for each (user, feature); stock Feast
reads what is written here, and the reverse. `sqlite_rows` describes how rows are ordered. The
store's own tables begin with an underscore, as no project does.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np

from featurestore.definitions import checked
from featurestore.errors import FormatRefused
from featurestore.online.entity_key import entity_keys, user_of
from featurestore.online.pointer import Pointer, PointerChange, from_text, to_text
from featurestore.online.rows import EncodedRow, check_columns, encoded_rows
from featurestore.online.sqlite_file import SqliteFile, has_table
from featurestore.online.sqlite_rows import (
    COMMIT_TIME,
    MAX_KEYS,
    NEVER,
    commit_times,
    marks,
    newest,
    table_rows,
)
from featurestore.online.store import OnlineRows
from featurestore.online.values import Column, decode
from featurestore.online.varint import read_varint
from featurestore.settings import FeatureStoreSettings, sqlite_path
from foundation.format_version import ONLINE_STORE
from foundation.watermark import Watermark

MAX_TRANSACTION_ROWS = 10_000
PAGE_USERS = 10_000

SCHEMA = """
CREATE TABLE IF NOT EXISTS _format (version INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS _views (
    project TEXT, view TEXT, PRIMARY KEY (project, view)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS _pointer (project TEXT PRIMARY KEY, record TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS _watermarks (
    project TEXT, stage TEXT, graph_id TEXT NOT NULL, version INTEGER NOT NULL,
    commit_time INTEGER NOT NULL, PRIMARY KEY (project, stage)) WITHOUT ROWID
"""

POINTER = "SELECT record FROM _pointer WHERE project = ?"

UPSERT = """
INSERT INTO {table} (entity_key, feature_name, value, value_text, event_ts)
VALUES (?, ?, ?, ?, ?)
ON CONFLICT (entity_key, feature_name) DO UPDATE SET
    value = excluded.value, value_text = excluded.value_text, vector_value = NULL,
    event_ts = excluded.event_ts, created_ts = NULL
"""


class SqliteStore:
    """An `OnlineStore` in a SQLite file."""

    def __init__(self, file: SqliteFile, project: str) -> None:
        self.file = file
        self.project = project

    @classmethod
    def open(cls, settings: FeatureStoreSettings, *, read_only: bool = False) -> Self:
        """Open, and unless read-only create, the file that the settings name.

        Raises StoreUnavailable, FormatRefused.
        """
        return cls.at(sqlite_path(settings.online_store_url), settings.project, read_only=read_only)

    @classmethod
    def at(cls, path: Path, project: str, *, read_only: bool = False) -> Self:
        """Open, and unless read-only create, a file. Raises StoreUnavailable, FormatRefused."""
        file = SqliteFile(path, read_only=read_only, check=lambda found: check_format(path, found))
        store = cls(file, project)
        try:
            if not read_only:
                store.create()
            file.check()
        except BaseException:
            store.close()
            raise
        return store

    def create(self) -> None:
        """Make the store's own tables where they do not exist yet."""
        with self.file.writing() as connection:
            for statement in SCHEMA.split(";"):
                connection.execute(statement)
            if connection.execute("SELECT count(*) FROM _format").fetchone() == (0,):
                connection.execute("INSERT INTO _format VALUES (?)", [ONLINE_STORE.version])

    def close(self) -> None:
        """Release the file."""
        self.file.close()

    def write(
        self,
        view: str,
        user_ids: Sequence[str],
        features: Mapping[str, Column],
        *,
        commit_time: int,
    ) -> int:
        """Write columns of users: the newest commit time wins, 10,000 rows a transaction."""
        check_columns(user_ids, features)
        order = in_key_order(user_ids)
        columns = {name: np.asarray(features[name])[order] for name in sorted(features)}
        num_written = 0
        num_users = max(1, MAX_TRANSACTION_ROWS // (len(features) + 1))
        for start in range(0, len(order), num_users):
            chunk = slice(start, start + num_users)
            users = [user_ids[row] for row in order[chunk]]
            pieces = {name: column[chunk] for name, column in columns.items()}
            num_written += self.write_rows(view, encoded_rows(users, pieces, commit_time))
        return num_written

    def write_rows(self, view: str, rows: Sequence[EncodedRow]) -> int:
        """Write the rows not older than the stored ones in one transaction; return how many."""
        if not rows:
            return 0
        with self.file.writing() as connection:
            table = self._ensure_view(connection, view)
            times = commit_times(connection, table, [row.key for row in rows])
            fresh = [row for row in rows if times.get(row.key, NEVER) <= row.commit_time]
            connection.executemany(UPSERT.format(table=table), table_rows(fresh))
        return len(fresh)

    def delete(self, view: str, user_ids: Sequence[str], *, before: int) -> int:
        """Delete rows of users whose commit time is at most `before`; return how many."""
        num_deleted = 0
        for start in range(0, len(user_ids), MAX_KEYS):
            keys = entity_keys(dict.fromkeys(user_ids[start : start + MAX_KEYS]))
            with self.file.writing() as connection:
                if not has_table(connection, self._name(view)):
                    return num_deleted
                times = commit_times(connection, self._table(view), keys)
                old = [(key,) for key, time in times.items() if time <= before]
                connection.executemany(f"DELETE FROM {self._table(view)} WHERE entity_key = ?", old)
            num_deleted += len(old)
        return num_deleted

    def erase(self, user_ids: Sequence[str], *, before: int) -> int:
        """Delete rows of users from every view of the project."""
        return sum(self.delete(view, user_ids, before=before) for view in self.views())

    def drop_view(self, view: str) -> None:
        """Delete a view's rows in short transactions, then its table."""
        while self._delete_some(view):
            pass
        with self.file.writing() as connection:
            connection.execute(f"DROP TABLE IF EXISTS {self._table(view)}")
            connection.execute(
                "DELETE FROM _views WHERE project = ? AND view = ?", [self.project, view]
            )

    def register_view(self, view: str) -> None:
        """Make a view's table where it does not exist yet."""
        with self.file.writing() as connection:
            self._ensure_view(connection, view)

    def set_watermark(self, stage: str, watermark: Watermark) -> None:
        """Record how far a stage has come."""
        row = (watermark.graph_id, watermark.version, watermark.commit_time)
        with self.file.writing() as connection:
            connection.execute(
                "REPLACE INTO _watermarks VALUES (?, ?, ?, ?, ?)", (self.project, stage, *row)
            )

    def drop_watermark(self, stage: str) -> None:
        """Forget how far a stage has come."""
        with self.file.writing() as connection:
            connection.execute(
                "DELETE FROM _watermarks WHERE project = ? AND stage = ?", [self.project, stage]
            )

    def change_pointer(self, change: PointerChange) -> Pointer:
        """Replace the pointer record by `change` of it, in one transaction."""
        with self.file.writing() as connection:
            rows = connection.execute(POINTER, [self.project]).fetchall()
            pointer = change(from_text(rows[0][0] if rows else None))
            record = [self.project, to_text(pointer)]
            connection.execute("REPLACE INTO _pointer VALUES (?, ?)", record)
        return pointer

    def read(self, view: str, user_ids: Sequence[str], features: Sequence[str]) -> OnlineRows:
        """Read features of users in the order asked, repeated users included."""
        keys = entity_keys(user_ids)
        index = {key: row for row, key in enumerate(dict.fromkeys(keys))}
        messages: dict[str, list[bytes | None]] = {
            name: [None] * len(index) for name in dict.fromkeys(features)
        }
        seconds = [NEVER] * len(index)
        stamps: list[tuple[int, int]] = [(NEVER, 0)] * len(index)
        for key, name, value, event_ts in self._cells(view, list(index), list(messages)):
            row = index[key]
            if name == COMMIT_TIME:
                stamps[row] = (event_ts, read_varint(value, 1)[0])
            else:
                messages[name][row] = value
            if event_ts > seconds[row]:
                seconds[row] = event_ts
        times = [newest(*pair) for pair in zip(seconds, stamps, strict=True)]
        rows = np.array([index[key] for key in keys], np.int64)
        columns = {name: decode(name, column) for name, column in messages.items()}
        return OnlineRows(
            features={name: column.values[rows] for name, column in columns.items()},
            known={name: column.known[rows] for name, column in columns.items()},
            present=np.array(seconds, np.int64)[rows] > NEVER,
            commit_times=np.array(times, np.int64)[rows],
        )

    def user_ids(self, view: str) -> Iterator[list[str]]:
        """All users of a view, in pages of 10,000, in the order of their keys."""
        last = b""
        while page := self._page(view, last):
            last = page[-1]
            yield [user_of(key) for key in page]

    def views(self) -> list[str]:
        """Views of the project that were written or applied here."""
        rows = self.file.select("SELECT view FROM _views WHERE project = ?", [self.project])
        return [view for (view,) in rows]

    def watermark(self, stage: str) -> Watermark | None:
        """How far a stage has come, if it ever ran."""
        rows = self.file.select(
            "SELECT graph_id, version, commit_time FROM _watermarks "
            "WHERE project = ? AND stage = ?",
            [self.project, stage],
        )
        for graph_id, version, time in rows:
            return Watermark(graph_id=graph_id, version=version, commit_time=time)
        return None

    def pointer(self) -> Pointer:
        """The pointer record."""
        rows = self.file.select(POINTER, [self.project])
        return from_text(rows[0][0] if rows else None)

    def _cells(
        self, view: str, keys: list[bytes], names: list[str]
    ) -> Iterable[tuple[bytes, str, bytes, int]]:
        """Stored (key, feature, message, event_ts) of users, all from one state of the file."""
        cells: list[tuple[bytes, str, bytes, int]] = []
        wanted = [COMMIT_TIME, *names]
        with self.file.reading() as connection:
            if not has_table(connection, self._name(view)):
                return cells
            for start in range(0, len(keys), MAX_KEYS):
                chunk = keys[start : start + MAX_KEYS]
                cells += connection.execute(
                    "SELECT entity_key, feature_name, value, event_ts "
                    f"FROM {self._table(view)} WHERE entity_key IN ({marks(chunk)}) "
                    f"AND feature_name IN ({marks(wanted)})",
                    [*chunk, *wanted],
                )
        return cells

    def _page(self, view: str, after: bytes) -> list[bytes]:
        with self.file.reading() as connection:
            if not has_table(connection, self._name(view)):
                return []
            rows = connection.execute(
                f"SELECT DISTINCT entity_key FROM {self._table(view)} WHERE entity_key > ? "
                "ORDER BY entity_key LIMIT ?",
                [after, PAGE_USERS],
            ).fetchall()
        return [key for (key,) in rows]

    def _delete_some(self, view: str) -> int:
        """Delete up to 10,000 rows of a table; return how many."""
        table = self._table(view)
        with self.file.writing() as connection:
            if not has_table(connection, self._name(view)):
                return 0
            return connection.execute(
                f"DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table} LIMIT ?)",
                [MAX_TRANSACTION_ROWS],
            ).rowcount

    def _ensure_view(self, connection: sqlite3.Connection, view: str) -> str:
        """Make the view's table as Feast does, without its index, which the key makes redundant."""
        table = self._table(view)
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS {table} (entity_key BLOB, feature_name TEXT, "
            "value BLOB, value_text TEXT, vector_value BLOB, event_ts timestamp, "
            "created_ts timestamp, PRIMARY KEY(entity_key, feature_name))"
        )
        connection.execute("INSERT OR IGNORE INTO _views VALUES (?, ?)", [self.project, view])
        return table

    def _name(self, view: str) -> str:
        return f"{self.project}_{view}"

    def _table(self, view: str) -> str:
        return f'"{self.project}_{checked(view)}"'


def check_format(path: Path, connection: sqlite3.Connection) -> None:
    """Raises FormatRefused when another version of this software wrote the file."""
    [(version,)] = connection.execute("SELECT max(version) FROM _format").fetchall()
    if refusal := ONLINE_STORE.refusal(path, version):
        raise FormatRefused(refusal)


def in_key_order(user_ids: Sequence[str]) -> list[int]:
    """Positions of users in the order of their keys, so that writes fill the table in order."""
    keys = entity_keys(user_ids)
    return sorted(range(len(keys)), key=keys.__getitem__)
