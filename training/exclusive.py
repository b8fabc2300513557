"""The lock of the training stage: one process of a home trains, for as long as it lives."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from training.errors import TrainingBusy, TrainingError


@contextmanager
def only_trainer(path: Path) -> Iterator[None]:
    """Hold the lock file, which names this process. Raises TrainingBusy when another holds it."""
    lock = FileLock(path, timeout=0)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        path.write_text(f"{os.getpid()}\n", encoding="ascii")
    except Timeout:
        holder = path.read_text(encoding="ascii").strip() or "unknown"
        raise TrainingBusy(
            f"training already runs on {path.parent}, in process {holder}: wait for it or stop it"
        ) from None
    except OSError as error:
        raise TrainingError(
            f"cannot lock {path}: {error.strerror or error}; make {path.parent} writable or set "
            "MMGA_HOME to a folder that is"
        ) from error
    try:
        yield
    finally:
        lock.release()
