"""One SQLite file that several processes write one at a time and read at any time.

Each write transaction, its automatic checkpoint, each explicit checkpoint and the closing of a
writer happen under `DATABASE.lock`: SQLite before 3.51.3 can corrupt a file that two processes
checkpoint at once. Readers are `mode=ro`, one a thread, and never blocked (WAL).

What is open for reading only follows the path: when another file has taken the place of the one
that was opened, its threads connect to that one. A writer keeps to the file that it opened.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featurestore.errors import StoreUnavailable
from featurestore.locks import database_lock, held
from foundation.watched_file import Identity, WatchedFile

MAX_WAL_BYTES = 256 * 2**20
LOCK_TIMEOUT_SECONDS = 120.0
BUSY_TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """A thread's connection for reading, and the file that it is connected to."""

    connection: sqlite3.Connection
    identity: Identity | None


class SqliteFile:
    """Connections to a file, opened on first use; `check` is called with each one for reading."""

    def __init__(
        self, path: Path, *, read_only: bool, check: Callable[[sqlite3.Connection], None]
    ) -> None:
        self.path = path
        self.read_only = read_only
        self._check = check
        self._watched = WatchedFile(path)
        self._lock = database_lock(path)
        self._turn = threading.Lock()
        self._local = threading.local()
        self._readers: list[sqlite3.Connection] = []
        self._writer: sqlite3.Connection | None = None
        self._closed = False

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One write transaction: committed whole, or not at all when the block raises.

        Raises StoreUnavailable, StoreBusy.
        """
        if self.read_only or self._closed:
            state = "closed" if self._closed else "open for reading only"
            raise StoreUnavailable(f"{self.path} is {state}: open it for writing")
        with (
            self._turn,
            held(self._lock, timeout_seconds=LOCK_TIMEOUT_SECONDS),
            translated(self.path),
        ):
            connection = self._connect_writer()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                connection.rollback()
                raise
            self._limit_wal(connection)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """One read transaction: all statements of the block see the same state.

        Raises StoreUnavailable.
        """
        with translated(self.path):
            connection = self._reader()
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.rollback()

    def select(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of one statement. Raises StoreUnavailable."""
        with translated(self.path):
            return self._reader().execute(sql, values).fetchall()

    def check(self) -> None:
        """Connect, and check the file. Raises StoreUnavailable, and what `check` raises."""
        with translated(self.path):
            self._reader()

    def close(self) -> None:
        """Close all connections; using them afterwards is an error."""
        self._closed = True
        for connection in self._readers:
            connection.close()
        self._readers.clear()
        if self._writer is not None:
            with self._turn, held(self._lock, timeout_seconds=LOCK_TIMEOUT_SECONDS):
                self._writer.close()
            self._writer = None

    def _connect_writer(self) -> sqlite3.Connection:
        if self._writer is None:
            connection = self._connect("rwc")
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
            connection.execute("PRAGMA synchronous = NORMAL")
            self._writer = connection
        return self._writer

    def _reader(self) -> sqlite3.Connection:
        """This thread's own connection, to the file that the path names."""
        if self._closed:
            raise StoreUnavailable(f"{self.path} is closed: open it again")
        reader: Reader | None = getattr(self._local, "reader", None)
        if reader is not None and not self._is_replaced(reader):
            return reader.connection
        if reader is not None:
            self._readers.remove(reader.connection)
            self._local.reader = None
            reader.connection.close()
        self._local.reader = self._open_reader()
        connection: sqlite3.Connection = self._local.reader.connection
        return connection

    def _is_replaced(self, reader: Reader) -> bool:
        return self.read_only and self._watched.identity() != reader.identity

    def _open_reader(self) -> Reader:
        identity = self._watched.look()
        if identity is None:
            raise StoreUnavailable(f"{self.path} does not exist: run `mmga ingest` first")
        connection = self._connect("ro")
        try:
            self._check(connection)
        except BaseException:
            connection.close()
            raise
        self._readers.append(connection)
        return Reader(connection=connection, identity=identity)

    def _connect(self, mode: str) -> sqlite3.Connection:
        return sqlite3.connect(
            f"{self.path.as_uri()}?mode={mode}",
            uri=True,
            isolation_level=None,
            timeout=BUSY_TIMEOUT_SECONDS,
            check_same_thread=False,
        )

    def _limit_wal(self, connection: sqlite3.Connection) -> None:
        """Empty the write-ahead log when readers have let it grow."""
        wal = self.path.with_name(f"{self.path.name}-wal")
        if wal.exists() and wal.stat().st_size > MAX_WAL_BYTES:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Translate errors of SQLite into StoreUnavailable."""
    try:
        yield
    except sqlite3.Error as error:
        raise StoreUnavailable(
            f"{path} cannot be used ({error}): check that the folder is there and writable, "
            "that the disk is not full, and that the file is an online store"
        ) from error


def has_table(connection: sqlite3.Connection, name: str) -> bool:
    """Whether there is a table of that name, unquoted."""
    sql = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
    return connection.execute(sql, [name]).fetchone() is not None
