"""Events in files: one `.jsonl` file or a folder of them, each a partition of its own.

The state of one file is no matter of the others: what cannot be read is named, and reading goes on.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from graphdb.facts import Position
from ingest.errors import (
    ArchiveBroken,
    NotEvents,
    SourceChanged,
    SourceMissing,
)
from ingest.sources.event_files import EventFiles, find_event_files, listed, shown
from ingest.sources.failures import Failures, state
from ingest.sources.file_partition import FilePartition
from ingest.sources.read_ahead import Decode
from ingest.sources.source import Extent, Records, silent

T = TypeVar("T")


class FileSource:
    """A `.jsonl` file, or all those of a folder in order of their names.

    Where there is nothing to read, `read` waits `wait_seconds` for something, and what is gone may
    come back. With `decode` a file is read only where that finds events in it. `note` is told once
    what is left out; a file that is the whole source raises instead.
    """

    def __init__(
        self,
        path: Path,
        *,
        wait_seconds: float = 0.0,
        decode: Decode | None = None,
        note: Callable[[str], None] = silent,
    ) -> None:
        self._path = path
        self._wait_seconds = wait_seconds
        self._decode = decode
        self._note = note
        self._stored: dict[str, Position] = {}
        self._partitions: dict[Path, FilePartition] = {}
        self._failures = Failures(self._tell)
        self._others: set[str] = set()
        self._without_events: set[Path] = set()
        self._is_folder = False
        self._was_found = False
        self._is_gone = False

    def seek(self, positions: Sequence[Position]) -> None:
        """See Source."""
        self._stored = {position.source: position for position in positions}
        self.close()
        self._partitions = {}
        self._failures.forget()
        for path in self._find_files():
            self._attempt(path, lambda partition: None)

    def read(self, max_events: int) -> list[Records] | None:
        """See Source; several small files share a batch."""
        found = self._read(max_events)
        if not found and self._wait_seconds:
            self._tell_of_files_without_events()
            time.sleep(self._wait_seconds)
            found = self._read(max_events)
        return found or None

    def keep_alive(self) -> None:
        """See Source; a file stays."""

    def committed(self, positions: Sequence[Position]) -> None:
        """See Source; a file has no tools that would ask."""

    def earliest(self) -> list[Position]:
        """See Source; those of files that can be read."""
        return self._positions(FilePartition.earliest)

    def at_time(self, time: int) -> list[Position]:
        """See Source; those of files that can be read."""
        return self._positions(lambda partition: partition.at_time(time))

    def extent(self) -> Extent:
        """See Source; in bytes as they are stored."""
        extents = [partition.extent() for partition in self._partitions.values()]
        return Extent(
            done=sum(extent.done for extent in extents),
            total=sum(extent.total for extent in extents),
        )

    def warnings(self) -> list[str]:
        """See Source."""
        if not (self._partitions or len(self._failures)):
            return [f"folder {shown(self._path)} has no .jsonl file yet"]
        return [
            line
            for path, partition in self._partitions.items()
            if str(path) not in self._failures
            for line in partition.warnings()
        ]

    def check_complete(self) -> None:
        """Raise SourceIncomplete where files could not be read: the others were."""
        self._failures.check()

    def close(self) -> None:
        """See Source."""
        for partition in self._partitions.values():
            partition.close()

    def _read(self, max_events: int) -> list[Records]:
        found: list[Records] = []
        for path in self._find_files():
            if max_events <= 0:
                break
            records = self._attempt(path, partial(FilePartition.read, max_events=max_events))
            if records is not None:
                found.append(records)
                max_events -= len(records)
        return found

    def _find_files(self) -> list[Path]:
        """Files to be read: those that are there, and those that are still open without a name."""
        found = self._look()
        if found is None:
            return [path for path, each in self._partitions.items() if each.is_being_read]
        self._note_others(found)
        for name, message in found.faults.items():
            self._fail(name, SourceMissing(message))
        here = set(found.files)
        for path in [path for path in self._partitions if path not in here]:
            self._forget_unless_open(path)
        self._failures.keep({*found.faults, *map(str, here)})
        return [*(path for path in self._partitions if path not in here), *found.files]

    def _look(self) -> EventFiles | None:
        """What is there; None while all of it has gone from a source that is followed."""
        try:
            with _readable(self._path):
                found = find_event_files(self._path)
                self._is_folder = self._path.is_dir()
        except SourceMissing as missing:
            if not (self._wait_seconds and self._was_found):
                raise
            if not self._is_gone:
                self._tell(f"warning: {missing}; waiting for it to come back")
            self._is_gone = True
            return None
        self._was_found, self._is_gone = True, False
        return found

    def _forget_unless_open(self, path: Path) -> None:
        partition = self._partitions[path]
        if not partition.is_being_read:
            del self._partitions[path]
            self._tell(
                f"warning: {path} is gone, moved or deleted; it was read up to byte"
                f" {partition.offset:,}"
            )

    def _note_others(self, found: EventFiles) -> None:
        """Say once what else a folder has: names at first, later only those of a new kind."""
        kinds = {Path(name).suffix for name in self._others}
        fresh = [
            name
            for name in found.others
            if name not in self._others and (not self._others or Path(name).suffix not in kinds)
        ]
        self._others.update(found.others)
        if fresh:
            self._tell(
                f"passed over in {shown(self._path)}, since their names are not those of files of"
                f" events (.jsonl, .jsonl.gz, .jsonl.zst): {listed(fresh)}"
            )

    def _tell_of_files_without_events(self) -> None:
        """Say it once of each: who follows sees no warnings at the end."""
        for path, partition in self._partitions.items():
            if partition.is_without_events and path not in self._without_events:
                self._without_events.add(path)
                self._tell(f"warning: {partition.describe_without_events()}")

    def _attempt(self, path: Path, use: Callable[[FilePartition], T]) -> T | None:
        """Use one file; where that fails, say so once and go on with the others."""
        if self._failures.is_hopeless(path):
            return None
        try:
            result = use(self._partition(path))
        except (OSError, SourceChanged, NotEvents, ArchiveBroken) as error:
            self._fail_to_read(path, error)
            return None
        self._failures.mend(path)
        return result

    def _partition(self, path: Path) -> FilePartition:
        """That of a file; a new one starts from its stored position."""
        partition = self._partitions.get(path)
        if partition is None:
            partition = FilePartition(path, self._decode)
            partition.seek(self._stored.get(str(path)))
            self._partitions[path] = partition
        return partition

    def _tell(self, text: str) -> None:
        """In one line, whatever names hold."""
        self._note(" ".join(text.split()))

    def _fail_to_read(self, path: Path, error: Exception) -> None:
        if path in self._partitions:
            self._partitions[path].close()
        if isinstance(error, OSError):
            missing = SourceMissing(f"cannot read {path}: {error.strerror or error}")
            self._fail(str(path), missing, cause=error)
        else:
            self._fail(str(path), error, state=state(path))

    def _fail(
        self, name: str, error: Exception, *, cause: Exception | None = None, state: object = None
    ) -> None:
        """Keep a file that cannot be read, and say so; where it is the whole source, raise.

        An archive that breaks off has been read until there, so the run comes to its end first.
        """
        if not (self._is_folder or isinstance(error, ArchiveBroken)):
            raise error from cause
        is_told_at_the_end = not (self._is_folder or self._wait_seconds)
        self._failures.add(name, str(error), state=state, quietly=is_told_at_the_end)

    def _positions(self, place: Callable[[FilePartition], Position]) -> list[Position]:
        found: list[Position] = []
        for path in self._find_files():
            try:
                found.append(place(FilePartition(path)))
            except (OSError, ArchiveBroken) as error:
                self._fail_to_read(path, error)
        return found


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SourceMissing(f"cannot read {shown(path)}: {error.strerror or error}") from error
