"""Which file a path names, so that one that was deleted, renamed or replaced is noticed."""

import os
import time
from collections.abc import Callable
from pathlib import Path

Identity = tuple[int, int]
"""Device and inode. While a process has the file open, no other file gets the same."""

LOOK_SECONDS = 1.0


def file_identity(path: Path) -> Identity | None:
    """The identity of the file that a path names, None where there is none to be seen."""
    try:
        found = os.stat(path)  # noqa: PTH116  Path.stat takes twice as long
    except OSError:
        return None
    return found.st_dev, found.st_ino


class WatchedFile:
    """Looks which file a path names, at most once a second unless asked to look now."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._looked_at = float("-inf")
        self._identity: Identity | None = None

    def identity(self) -> Identity | None:
        """The identity as it was at most a second ago."""
        if self._clock() - self._looked_at >= LOOK_SECONDS:
            return self.look()
        return self._identity

    def look(self) -> Identity | None:
        """The identity now."""
        self._identity = file_identity(self._path)
        self._looked_at = self._clock()
        return self._identity
