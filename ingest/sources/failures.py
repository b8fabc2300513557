"""Files that cannot be read: each is told once, and tried again when its state changes."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from ingest.errors import SourceIncomplete
from ingest.sources.event_files import listed


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a file is not read, and its state then; None where it may change unseen."""

    message: str
    state: object


class Failures:
    """Those of one source by the files' names; `tell` is called once for each."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._failures: dict[str, Failure] = {}
        self._told: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._failures

    def __len__(self) -> int:
        return len(self._failures)

    def add(self, name: str, message: str, *, state: object = None, quietly: bool = False) -> None:
        """Keep why a file cannot be read, and tell it."""
        self._failures[name] = Failure(message=message, state=state)
        if name not in self._told and not quietly:
            self._told.add(name)
            self._tell(f"warning: {message}")

    def is_hopeless(self, path: Path) -> bool:
        """Whether a file failed and is as it was then, so that another try is of no use."""
        failure = self._failures.get(str(path))
        return failure is not None and failure.state is not None and failure.state == state(path)

    def mend(self, path: Path) -> None:
        """A file was read."""
        self._failures.pop(str(path), None)
        self._told.discard(str(path))

    def keep(self, names: Collection[str]) -> None:
        """Forget all files but these: they are not there any more."""
        for name in self._failures.keys() - names:
            del self._failures[name]

    def forget(self) -> None:
        """Try all files again; what was told is not told again."""
        self._failures = {}

    def check(self) -> None:
        """Raise SourceIncomplete where there are any."""
        messages = [failure.message for failure in self._failures.values()]
        if len(messages) == 1:
            raise SourceIncomplete(messages[0])
        if messages:
            raise SourceIncomplete(
                f"{len(messages):,} files could not be read, for reasons that are told above:"
                f" {listed(sorted(self._failures))}; put them right and run the same command, all"
                " others were read"
            )


def state(path: Path) -> object:
    """What changes when somebody touches a file; None when it cannot be told."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
