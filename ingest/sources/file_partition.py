"""One file of events, read from its stored position on.

A position is the real path, an offset in bytes (of an archive: in the bytes that it holds), and a
fingerprint: the length and SHA-256 of the first bytes of the file (at most 4,096) as they were when
it was first read, so that a file may grow but not change. That of an archive which was read to its
end also has the size, which may not change any more.
"""

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import msgspec

from graphdb.facts import Position, PositionMove
from ingest.errors import EventRejected, SourceChanged
from ingest.events.values import parse_time
from ingest.sources.archives import MAGIC_BYTES, opener_of
from ingest.sources.formats import has_events
from ingest.sources.lines import TOO_LONG, LineReader
from ingest.sources.read_ahead import Decode
from ingest.sources.source import Extent, Records, Unreadable

FINGERPRINT_BYTES = 4096
MAX_BATCH_BYTES = 16 << 20
SCAN_LINES = 10_000


class FilePartition:
    """One file; with `decode` it is read only where that finds events in it (NotEvents)."""

    def __init__(self, path: Path, decode: Decode | None = None) -> None:
        self.path = path
        self._decode = decode
        self._stored: Position | None = None
        self._position = Position(source=str(path), partition=0, offset=0)
        self._reader: LineReader | None = None
        self._is_archive = False
        self._has_events = None if decode else True  # None: nobody has looked yet
        self.num_unread_bytes = 0

    @property
    def offset(self) -> int:
        """Up to where events have been handed out."""
        return self._position.offset

    @property
    def is_being_read(self) -> bool:
        """Whether the file is open: what it holds can be read even if it has lost its name."""
        return self._reader is not None

    @property
    def is_without_events(self) -> bool:
        """Whether lines were read, and all of them are rejected so far."""
        return self._has_events is False and self.offset > 0

    def seek(self, stored: Position | None) -> None:
        """Go to a stored position, or to the start; raises SourceChanged."""
        self.close()
        self._stored = stored
        self._position = self.earliest() if stored is None else stored
        self._check_unchanged()

    def read(self, max_events: int) -> Records | None:
        """The next events; None when nothing has been added since."""
        if self._reader is None and self._is_read():
            return None
        reader = self._open_reader()
        start = self.offset
        lines, offsets, too_long = reader.read(max_events, MAX_BATCH_BYTES)
        self.num_unread_bytes = reader.num_unread_bytes
        is_last, size = self._is_last(reader), reader.num_stored_bytes_read
        if reader.offset == start or is_last:
            self.close()  # many files stay below the limit of open ones
        if reader.offset == start and not (is_last and self._is_archive):
            return None
        expected = None if self._stored is None else self._stored.offset
        position = replace(self._position, offset=reader.offset)
        if is_last and self._is_archive:
            position = _with_size(position, size)
        self._position = self._stored = position
        return Records(
            lines=lines,
            offsets=offsets,
            unreadable=[
                Unreadable(offset=offset, reason=TOO_LONG, payload=payload)
                for offset, payload in too_long
            ],
            move=PositionMove(expected=expected, next=self._position),
            is_last=is_last,
        )

    def earliest(self) -> Position:
        """The beginning of the file as it is now."""
        start = self._read_start(FINGERPRINT_BYTES)
        return Position(
            source=str(self.path), partition=0, offset=0, fingerprint=_fingerprint(start)
        )

    def at_time(self, time: int) -> Position:
        """The first event at or after a time, or the end."""
        start = self.earliest()
        with closing(LineReader(self.path, 0)) as reader:
            for line, offset in _all_lines(reader):
                if _is_at_or_after(line, time):
                    return replace(start, offset=offset)
            return replace(start, offset=reader.offset)

    def extent(self) -> Extent:
        """How much of the file has been read, in bytes as they are stored."""
        try:
            size = self.path.stat().st_size
        except OSError:  # it went meanwhile
            size = self.offset
        if not self._is_archive:
            return Extent(done=min(self.offset, size), total=size)
        if self._reader is not None:
            return Extent(done=min(self._reader.num_stored_bytes_read, size), total=size)
        return Extent(done=size if _size_of(self._position) is not None else 0, total=size)

    def warnings(self) -> Iterator[str]:
        """What a person should know about what is left unread, or is no event."""
        if self.num_unread_bytes:
            yield (
                f"{self.path} ends with {self.num_unread_bytes:,} bytes that are not a whole event"
                f" (from byte {self.offset:,}): left until the line ends"
            )
        elif self.extent().total == 0:
            yield f"{self.path} is empty"
        elif self.is_without_events:
            yield self.describe_without_events()

    def describe_without_events(self) -> str:
        """What a person should know about a file in which no line so far is an event."""
        return (
            f"none of the lines of {self.path} is an event: `mmga dead-letters list` tells why,"
            f" `mmga dead-letters drop --source {self.path}` drops them"
        )

    def close(self) -> None:
        """Close the file."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _open_reader(self) -> LineReader:
        if self._reader is None:
            if self._stored is None and self.offset == 0:
                self._position = self.earliest()  # it may have grown since, and been empty
            self._check_unchanged()
            if not self._has_events:
                self._has_events = has_events(self.path, self._reject)
            self._reader = LineReader(self.path, self.offset)
        return self._reader

    def _reject(self, lines: Sequence[bytes]) -> list[tuple[int, str]]:
        assert self._decode is not None
        return self._decode(lines, time.time_ns() // 1000, "").rejected

    def _is_read(self) -> bool:
        """Whether the file holds nothing that has not been read, as far as its size shows."""
        size = self.path.stat().st_size
        return size == (_size_of(self._position) if self._is_archive else self.offset)

    def _is_last(self, reader: LineReader) -> bool:
        if self._is_archive:
            is_whole = reader.is_at_end and not reader.num_unread_bytes
            return is_whole and reader.num_stored_bytes_read == reader.size
        return reader.offset == reader.size

    def _check_unchanged(self) -> None:
        position, size = self._position, self.path.stat().st_size
        length = _fingerprint_length(position)
        start = self._read_start(max(length, MAGIC_BYTES))[:length]
        final_size = _size_of(position)
        if not self._is_archive and size < self.offset:
            what = f"is {size:,} bytes long but was read up to byte {self.offset:,}"
        elif position.fingerprint is not None and not _begins_so(position, start):
            what = f"no longer begins as it did when it was read up to byte {self.offset:,}"
        elif final_size not in (None, size):
            what = f"is {size:,} bytes long but was {final_size:,} when it was read to its end"
        else:
            return
        raise SourceChanged(
            f"{self.path} {what}; what it held since is lost to ingest: to read the file again, run"
            f" `mmga ingest --events {self.path} --from earliest` (a replay is harmless)"
        )

    def _read_start(self, length: int) -> bytes:
        with self.path.open("rb") as file:
            start = file.read(length)
        self._is_archive = opener_of(start) is not None
        return start


def _fingerprint(start: bytes) -> str:
    return f"{len(start)}:{hashlib.sha256(start).hexdigest()}"


def _fingerprint_length(position: Position) -> int:
    return 0 if position.fingerprint is None else int(position.fingerprint.partition(":")[0])


def _begins_so(position: Position, start: bytes) -> bool:
    fingerprint = position.fingerprint or ""
    return ":".join(fingerprint.split(":")[:2]) == _fingerprint(start)


def _with_size(position: Position, size: int) -> Position:
    """The position at the end of an archive."""
    return replace(position, fingerprint=f"{position.fingerprint}:{size}")


def _size_of(position: Position) -> int | None:
    """The size of an archive that was read to its end; None where it was not."""
    parts = (position.fingerprint or "").split(":")
    return int(parts[2]) if len(parts) > 2 else None


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
