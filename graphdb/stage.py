"""The lock of a stage: one process of a machine runs it at a time, for as long as it lives."""

import os
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout

from graphdb.errors import GraphUnavailable, StageBusy


class StageLock:
    """Holds `HOME/STAGE.lock` while it is entered; the kernel frees it when the process dies.

    The file names the holder's process. Entering raises StageBusy when another one holds it for
    `timeout_seconds`, GraphUnavailable when the home cannot be written.
    """

    def __init__(self, home: Path, stage: str, *, timeout_seconds: float = 0) -> None:
        self._stage = stage
        self._path = home / f"{stage}.lock"
        self._lock = FileLock(self._path, timeout=timeout_seconds)

    def __enter__(self) -> Self:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
            self._path.write_text(f"{os.getpid()}\n", encoding="ascii")
        except Timeout:
            raise StageBusy(
                f"{self._stage} already runs on {self._path.parent}, in process {self._holder()}:"
                " wait for it or stop it"
            ) from None
        except OSError as error:
            raise GraphUnavailable(
                f"cannot lock {self._path}: {error.strerror or error}; make {self._path.parent}"
                " writable or set MMGA_HOME to a folder that is"
            ) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lock.release()

    def _holder(self) -> str:
        return self._path.read_text(encoding="ascii").strip() or "unknown"
