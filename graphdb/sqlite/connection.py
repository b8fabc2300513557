"""One process's connection to the embedded graph: its locks, transactions and checkpoints.

A commit is durable against the death of the process (kill -9 included) as soon as it returns. When
the power fails, the newest commits may be lost, whole and in order: positions are in the same
transactions, so the next ingest reads those events again (`synchronous=NORMAL`).

All writes and checkpoints of all processes go one at a time under `DATABASE.lock`: SQLite before
3.51.3 can corrupt the file when two processes checkpoint at once.
"""

import contextlib
import logging
import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from filelock import FileLock, Timeout

from foundation.watched_file import Identity, file_identity
from graphdb.errors import GraphBusy, GraphError, GraphUnavailable

logger = logging.getLogger(__name__)

LOCK_TIMEOUT_SECONDS = 60.0
BUSY_TIMEOUT_MILLISECONDS = 10_000
CACHE_KIBIBYTES = 128 * 1024
CHECKPOINT_BYTES = 256 * 2**20
CHECKPOINT_RETRY_BYTES = 64 * 2**20
CHECKPOINT_WAIT_MILLISECONDS = 200


class Database:
    """A SQLite file in WAL mode. Calls of several threads take turns."""

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        *,
        identity: Identity | None,
        read_only: bool,
    ) -> None:
        self.path = path
        self._identity = identity
        self._connection = connection
        self._read_only = read_only
        self._turn = threading.RLock()
        self._write_lock = _write_lock(path)
        self._process = os.getpid()
        self._checkpoint_at = CHECKPOINT_BYTES
        self._abandon = weakref.finalize(
            self, _close_abandoned, connection, self._write_lock, self._process
        )

    @classmethod
    def open(cls, path: Path, *, read_only: bool) -> "Database":
        """Open `path`; a writer creates the file and its folder where they are absent."""
        if read_only and not path.exists():
            raise GraphUnavailable(f"there is no graph at {path}; run `mmga ingest` first")
        with _translated(path):
            if not read_only:
                path.parent.mkdir(parents=True, exist_ok=True)
            mode = "ro" if read_only else "rwc"
            before = file_identity(path)
            connection = sqlite3.connect(
                f"file:{quote(str(path))}?mode={mode}",
                uri=True,
                isolation_level=None,
                check_same_thread=False,
            )
        identity = before or file_identity(path)
        database = cls(path, connection, identity=identity, read_only=read_only)
        try:
            database._configure()
        except BaseException:
            connection.close()
            raise
        return database

    def _configure(self) -> None:
        with _translated(self.path):
            self._connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MILLISECONDS}")
            self._connection.execute(f"PRAGMA cache_size = -{CACHE_KIBIBYTES}")
            if self._read_only:
                return
            with self._locked():
                self._connection.execute("PRAGMA journal_mode = WAL")
                self._connection.execute("PRAGMA synchronous = NORMAL")
                self._connection.execute("PRAGMA wal_autocheckpoint = 0")

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """One read transaction: everything in it sees the same version. Keep it short."""
        with self._turn, _translated(self.path):
            self._check_process()
            with self._transaction("BEGIN"):
                yield self._connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One write transaction, alone among all processes; any exception rolls it back."""
        if self._read_only:
            raise GraphUnavailable(f"the graph {self.path} was opened to be read; open a writer")
        with self._turn, _translated(self.path):
            self._check_process()
            with self._locked():
                with self._transaction("BEGIN IMMEDIATE"):
                    yield self._connection
                self._checkpoint_when_large()

    def is_replaced(self) -> bool:
        """Whether the path names another file now, or none."""
        return file_identity(self.path) != self._identity

    def close(self) -> None:
        """Close the connection; the last one to close empties the write-ahead log."""
        if os.getpid() != self._process:
            return
        with self._turn, _translated(self.path):
            with contextlib.nullcontext() if self._read_only else self._locked():
                self._connection.close()
            self._abandon.detach()

    @contextlib.contextmanager
    def _transaction(self, begin: str) -> Iterator[None]:
        self._connection.execute(begin)
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self._write_lock.acquire()
        except Timeout as error:
            raise GraphBusy(
                f"another process has held {self._write_lock.lock_file} for "
                f"{LOCK_TIMEOUT_SECONDS:.0f} s; wait for it or stop it"
            ) from error
        try:
            yield
        finally:
            self._write_lock.release()

    def _checkpoint_when_large(self) -> None:
        """Empty the log above a size; while readers hold it back, try again when it has grown."""
        size = self._log_bytes()
        if size < self._checkpoint_at:
            return
        self._connection.execute(f"PRAGMA busy_timeout = {CHECKPOINT_WAIT_MILLISECONDS}")
        try:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.OperationalError as error:
            # The transaction before it stands, so its caller must not hear of a failure.
            logger.warning("the log of %s cannot be emptied now: %s", self.path, error)
        finally:
            self._connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MILLISECONDS}")
        held_back = self._log_bytes() > 0
        self._checkpoint_at = size + CHECKPOINT_RETRY_BYTES if held_back else CHECKPOINT_BYTES

    def _log_bytes(self) -> int:
        try:
            return Path(f"{self.path}-wal").stat().st_size
        except FileNotFoundError:
            return 0

    def _check_process(self) -> None:
        if os.getpid() != self._process:
            raise GraphUnavailable(
                f"the graph {self.path} was opened before a fork; open it in the child"
            )


def _close_abandoned(connection: sqlite3.Connection, write_lock: FileLock, process: int) -> None:
    """Close what nobody closed. Who holds the lock is connected, so that we are not the last."""
    if os.getpid() != process:
        return
    with contextlib.suppress(Timeout), write_lock.acquire(timeout=0):
        connection.close()


def _write_lock(path: Path) -> FileLock:
    return FileLock(
        f"{path}.lock", timeout=LOCK_TIMEOUT_SECONDS, poll_interval=0.005, thread_local=False
    )


REMEDIES = {
    "SQLITE_FULL": "the disk is full; free space and run again",
    "SQLITE_READONLY": "it cannot be written; check the permissions of the file and its folder",
    "SQLITE_PERM": "access is denied; check the permissions of the file and its folder",
    "SQLITE_CANTOPEN": "it cannot be opened; check that its folder exists and can be written",
    "SQLITE_NOTADB": "it is not a SQLite database; move it away and ingest again",
    "SQLITE_CORRUPT": "it is damaged; restore a backup, or move it away and ingest again",
    "SQLITE_IOERR": "the disk failed to read or write it; check the disk and run again",
}


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Turn the errors of SQLite and of the file system into ours, with a remedy."""
    try:
        yield
    except GraphError:
        raise
    except sqlite3.DatabaseError as error:
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            raise GraphBusy(f"the graph {path} is locked ({error}); try again") from error
        remedy = next((text for code, text in REMEDIES.items() if name.startswith(code)), None)
        if remedy is None:
            raise
        raise GraphUnavailable(f"graph {path}: {remedy} ({error})") from error
    except OSError as error:
        raise GraphUnavailable(
            f"graph {path}: {error.strerror or error}; check that its folder can be written"
        ) from error
