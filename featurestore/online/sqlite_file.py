"""One SQLite file that several processes write one at a time and read at any time.

Each write transaction, its automatic checkpoint, each explicit checkpoint and the closing of a
writer happen under `DATABASE.lock`: SQLite before 3.51.3 can corrupt a file that two processes
checkpoint at once. Readers are `mode=ro`, one a thread, and never blocked (WAL).
"""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from featurestore.errors import StoreUnavailable
from featurestore.locks import database_lock, held

MAX_WAL_BYTES = 256 * 2**20
LOCK_TIMEOUT_SECONDS = 120.0
BUSY_TIMEOUT_SECONDS = 60.0


class SqliteFile:
    """Connections to a file, opened on first use."""

    def __init__(self, path: Path, *, read_only: bool) -> None:
        self.path = path
        self.read_only = read_only
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
        """This thread's own connection."""
        if self._closed:
            raise StoreUnavailable(f"{self.path} is closed: open it again")
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._connect("ro")
            self._local.connection = connection
            self._readers.append(connection)
        return connection

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
