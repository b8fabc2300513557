"""Locks between processes of one machine, freed by the kernel when their holder dies."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from featurestore.errors import StoreBusy, StoreUnavailable

POLL_SECONDS = 0.002


def database_lock(database: Path) -> FileLock:
    """The lock held around each write transaction and each checkpoint of a database."""
    return FileLock(f"{database}.lock", poll_interval=POLL_SECONDS, thread_local=False)


@contextmanager
def held(lock: FileLock, *, timeout_seconds: float) -> Iterator[None]:
    """Hold a lock for a block. Raises StoreBusy, StoreUnavailable."""
    path = Path(lock.lock_file)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=timeout_seconds)
    except Timeout as error:
        raise StoreBusy(
            f"{path} has been held by another process for {timeout_seconds:.0f} s: "
            "wait for it, or end it"
        ) from error
    except OSError as error:
        raise StoreUnavailable(
            f"{path} cannot be locked ({error.strerror}): make {path.parent} writable"
        ) from error
    try:
        yield
    finally:
        lock.release()
