"""Events in files: one `.jsonl` file or a folder of them, each a partition of its own.

A position is the real path, the offset in bytes, and a fingerprint: the length and SHA-256 of the
first bytes (at most 4,096) as they were when the file was first read, so that a file may grow but
not change.
"""

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec

from graphdb.facts import Position, PositionMove
from ingest.errors import EventRejected, SourceChanged, SourceMissing
from ingest.events.values import parse_time
from ingest.sources.lines import TOO_LONG, LineReader
from ingest.sources.source import Extent, Records, Unreadable

FINGERPRINT_BYTES = 4096
MAX_BATCH_BYTES = 16 << 20
SCAN_LINES = 10_000
NOT_EVENTS = {"labels.jsonl", "dead_letters.jsonl"}


class FilePartition:
    """One file, read from its stored position on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stored: Position | None = None
        self._position = Position(source=str(path), partition=0, offset=0)
        self._reader: LineReader | None = None
        self.num_unread_bytes = 0

    @property
    def offset(self) -> int:
        """Up to where events have been handed out."""
        return self._position.offset

    def seek(self, stored: Position | None) -> None:
        """Go to a stored position, or to the start; raises SourceChanged."""
        self._close_reader()
        self._stored = stored
        self._position = self.earliest() if stored is None else stored
        self._check_unchanged()

    def read(self, max_events: int) -> Records | None:
        """The next events; None when nothing has been added since."""
        if self._reader is None and self.path.stat().st_size == self.offset:
            return None
        reader = self._open_reader()
        start = self.offset
        lines, offsets, too_long = reader.read(max_events, MAX_BATCH_BYTES)
        self.num_unread_bytes = reader.num_unread_bytes
        if reader.offset == start or reader.offset == self.path.stat().st_size:
            self._close_reader()  # many files stay below the limit of open ones
        if reader.offset == start:
            return None
        expected = None if self._stored is None else self._stored.offset
        self._position = self._stored = replace(self._position, offset=reader.offset)
        return Records(
            lines=lines,
            offsets=offsets,
            unreadable=[
                Unreadable(offset=offset, reason=TOO_LONG, payload=payload)
                for offset, payload in too_long
            ],
            move=PositionMove(expected=expected, next=self._position),
        )

    def earliest(self) -> Position:
        """The beginning of the file as it is now."""
        with self.path.open("rb") as file:
            start = file.read(FINGERPRINT_BYTES)
        return Position(
            source=str(self.path), partition=0, offset=0, fingerprint=_fingerprint(start)
        )

    def at_time(self, time: int) -> Position:
        """The first event at or after a time, or the end."""
        start = self.earliest()
        reader = LineReader(self.path, 0)
        try:
            for line, offset in _all_lines(reader):
                if _is_at_or_after(line, time):
                    return replace(start, offset=offset)
            return replace(start, offset=reader.offset)
        finally:
            reader.close()

    def close(self) -> None:
        """Close the file."""
        self._close_reader()

    def _open_reader(self) -> LineReader:
        if self._reader is None:
            if self._stored is None and self._position.offset == 0:
                self._position = self.earliest()  # it may have grown since, and been empty
            self._check_unchanged()
            self._reader = LineReader(self.path, self._position.offset)
        return self._reader

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _check_unchanged(self) -> None:
        fingerprint, offset = self._position.fingerprint, self._position.offset
        size = self.path.stat().st_size
        with self.path.open("rb") as file:
            start = file.read(_fingerprint_length(fingerprint))
        if size < offset:
            what = f"is {size:,} bytes long but was read up to byte {offset:,}"
        elif fingerprint is not None and _fingerprint(start) != fingerprint:
            what = f"no longer begins as it did when it was read up to byte {offset:,}"
        else:
            return
        raise SourceChanged(
            f"{self.path} {what}; what it held since is lost to ingest: to read the file again, run"
            f" `mmga ingest --events {self.path} --from earliest` (a replay is harmless)"
        )


class FileSource:
    """A `.jsonl` file, or all those of a folder in order of their names.

    Where there is nothing to read, `read` waits `wait_seconds` for something.
    """

    def __init__(self, path: Path, *, wait_seconds: float = 0.0) -> None:
        self._path = path
        self._wait_seconds = wait_seconds
        self._stored: dict[str, Position] = {}
        self._partitions: dict[Path, FilePartition] = {}

    def seek(self, positions: Sequence[Position]) -> None:
        """See Source."""
        with _readable(self._path):
            self._stored = {position.source: position for position in positions}
            self.close()
            self._partitions = {}
            self._find_partitions()

    def read(self, max_events: int) -> list[Records] | None:
        """See Source; several small files share a batch."""
        found = self._read(max_events)
        if not found and self._wait_seconds:
            time.sleep(self._wait_seconds)
            found = self._read(max_events)
        return found or None

    def keep_alive(self) -> None:
        """See Source; a file stays."""

    def committed(self, positions: Sequence[Position]) -> None:
        """See Source; a file has no tools that would ask."""

    def _read(self, max_events: int) -> list[Records]:
        found: list[Records] = []
        with _readable(self._path):
            for partition in self._find_partitions():
                if max_events <= 0:
                    break
                records = partition.read(max_events)
                if records is not None:
                    found.append(records)
                    max_events -= len(records)
        return found

    def earliest(self) -> list[Position]:
        """See Source."""
        with _readable(self._path):
            return [FilePartition(path).earliest() for path in event_files(self._path)]

    def at_time(self, time: int) -> list[Position]:
        """See Source."""
        with _readable(self._path):
            return [FilePartition(path).at_time(time) for path in event_files(self._path)]

    def extent(self) -> Extent:
        """See Source; in bytes."""
        with _readable(self._path):
            partitions = self._find_partitions()
            return Extent(
                done=sum(partition.offset for partition in partitions),
                total=sum(partition.path.stat().st_size for partition in partitions),
            )

    def warnings(self) -> list[str]:
        """See Source."""
        with _readable(self._path):
            partitions = self._find_partitions()
            if not partitions:
                return [f"folder {self._path} has no .jsonl file yet"]
            return [line for partition in partitions for line in _warnings(partition)]

    def close(self) -> None:
        """See Source."""
        for partition in self._partitions.values():
            partition.close()

    def _find_partitions(self) -> list[FilePartition]:
        """All files; those that are new start from their stored positions."""
        for path in event_files(self._path):
            if path not in self._partitions:
                partition = FilePartition(path)
                partition.seek(self._stored.get(str(path)))
                self._partitions[path] = partition
        return list(self._partitions.values())


def event_files(path: Path) -> list[Path]:
    """Real paths of the files of events at a path; raises SourceMissing when it is neither."""
    if path.is_dir():
        found = sorted(path.glob("*.jsonl"), key=lambda file: file.name.encode())
        return [
            file.resolve()
            for file in found
            if file.is_file() and file.name not in NOT_EVENTS and not file.name.startswith(".")
        ]
    if path.is_file():
        return [path.resolve()]
    raise SourceMissing(
        f"no events at {path}: it is neither a file nor a folder (--events or MMGA_EVENTS_URL)"
    )


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SourceMissing(
            f"cannot read {error.filename or path}: {error.strerror or error}"
        ) from error


def _warnings(partition: FilePartition) -> Iterator[str]:
    if partition.num_unread_bytes:
        yield (
            f"{partition.path} ends with {partition.num_unread_bytes:,} bytes that are not a whole"
            f" event (from byte {partition.offset:,}): left until the line ends"
        )
    elif partition.path.stat().st_size == 0:
        yield f"{partition.path} is empty"


def _fingerprint(start: bytes) -> str:
    return f"{len(start)}:{hashlib.sha256(start).hexdigest()}"


def _fingerprint_length(fingerprint: str | None) -> int:
    return 0 if fingerprint is None else int(fingerprint.partition(":")[0])


class _Timed(msgspec.Struct):
    time: str


_TIMED = msgspec.json.Decoder(_Timed)


def _all_lines(reader: LineReader) -> Iterator[tuple[bytes, int]]:
    while True:
        start = reader.offset
        lines, offsets, _ = reader.read(SCAN_LINES, MAX_BATCH_BYTES)
        yield from zip(lines, offsets, strict=True)
        if reader.offset == start:
            return


def _is_at_or_after(line: bytes, time: int) -> bool:
    try:
        return parse_time("time", _TIMED.decode(line).time) >= time
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, EventRejected):
        return False
