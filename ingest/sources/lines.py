"""Lines of a file that may grow, be cut short or hold lines of any length.

An archive is read as what it holds; it does not grow, so its last line is whole.
"""

import hashlib
from itertools import accumulate
from pathlib import Path

import msgspec

from ingest.dead_letters.dead_letter import MAX_PAYLOAD_BYTES, Payload
from ingest.errors import ArchiveBroken
from ingest.sources.archives import BLOCK_BYTES, FileBytes

MAX_EVENT_BYTES = 1 << 20
"""No event is longer: Kafka's own limit, and far above the sum of the fields' limits."""

TOO_LONG = f"the event is longer than {MAX_EVENT_BYTES} bytes"

BOM = b"\xef\xbb\xbf"
"""The byte order mark of UTF-8, which stands where files begin that were put together."""


class LineReader:
    """Reads lines from an offset on, with memory bounded whatever the file holds."""

    def __init__(self, path: Path, offset: int) -> None:
        self._file = FileBytes(path, offset)
        self._has_marks = False
        self._broken: ArchiveBroken | None = None
        self._complete: list[bytes] = []
        self._tail = b""
        self._at_end = False
        self.offset = offset
        """Where the next line that has not been returned starts."""

    def read(
        self, max_lines: int, max_bytes: int
    ) -> tuple[list[bytes], list[int], list[tuple[int, Payload]]]:
        """Lines that are not blank with their offsets, and (offset, payload) of overlong ones.

        Stops early at the end of the file and soon after `max_bytes`. A last line without a line
        break is returned when it is a whole JSON object. Byte order marks before lines are left
        out. Raises ArchiveBroken once all lines before the damage have been returned.
        """
        lines: list[bytes] = []
        offsets: list[int] = []
        too_long: list[tuple[int, Payload]] = []
        begin = self.offset
        stop = begin + max_bytes
        while len(lines) + len(too_long) < max_lines and self.offset < stop:
            if not self._complete and not self._fill(too_long):
                break
            room = max_lines - len(lines) - len(too_long)
            taken, self._complete = self._complete[:room], self._complete[room:]
            starts = list(accumulate((len(line) + 1 for line in taken), initial=self.offset))
            self.offset = starts.pop()
            if self._has_marks:
                taken = [line.removeprefix(BOM) for line in taken]
            for line, start in zip(taken, starts, strict=True):
                if len(line) > MAX_EVENT_BYTES:
                    too_long.append((start, Payload.of(line)))
                elif line and not line.isspace():
                    lines.append(line)
                    offsets.append(start)
        if self._takes_tail(len(lines) + len(too_long) < max_lines):
            lines.append(self._tail.removeprefix(BOM))
            offsets.append(self.offset)
            self.offset += len(self._tail)
            self._tail = b""
        if self._broken is not None and self.offset == begin:
            raise self._broken
        return lines, offsets, too_long

    @property
    def num_unread_bytes(self) -> int:
        """The length of a last line without a line break that was left, blanks aside."""
        return len(self._tail.strip())

    @property
    def is_archive(self) -> bool:
        """Whether the file is decompressed while it is read."""
        return self._file.is_archive

    @property
    def size(self) -> int:
        """How long the file itself is now."""
        return self._file.size

    @property
    def is_at_end(self) -> bool:
        """Whether all that the file held has been returned, except a last line that was left."""
        return self._at_end and not self._complete and self._broken is None

    @property
    def num_stored_bytes_read(self) -> int:
        """How far the file itself has been read, which for an archive is less than `offset`."""
        return self._file.num_stored_bytes_read if self.is_archive else self.offset

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _fill(self, too_long: list[tuple[int, Payload]]) -> bool:
        """Split the next block into complete lines; False at the end of the file."""
        while not self._complete:
            if len(self._tail) > MAX_EVENT_BYTES:
                return self._skip_long_line(too_long)
            block = self._read_block()
            self._at_end = not block
            if self._at_end:
                return False
            text = self._tail + block
            self._has_marks = self._has_marks or (BOM[:1] in text and BOM in text)  # one is quick
            *self._complete, self._tail = text.split(b"\n")
        return True

    def _read_block(self) -> bytes:
        """The next bytes; none at the end, and where an archive is broken."""
        try:
            return self._file.read(BLOCK_BYTES)
        except ArchiveBroken as broken:
            self._broken = broken
            return b""

    def _skip_long_line(self, too_long: list[tuple[int, Payload]]) -> bool:
        """Pass a line that is too long to be kept; False when it has not ended yet.

        Without a line break it has ended when it looks like an object: it is a dead letter either
        way, and what may still follow it becomes another.
        """
        start, length = self.offset, len(self._tail)
        content, digest = self._tail[:MAX_PAYLOAD_BYTES], hashlib.sha256(self._tail)
        last, rest, separator = self._tail, b"", b""
        while not separator and (block := self._read_block()):
            part, separator, rest = block.partition(b"\n")
            digest.update(part)
            length += len(part)
            last = part.rstrip() or last
        if self._broken is not None:
            return False
        if not separator and not self.is_archive and not last.rstrip().endswith(b"}"):
            self._file.seek(start + len(self._tail))
            return False
        payload = Payload(content=content, length=length, sha256=digest.hexdigest())
        too_long.append((start, payload))
        self.offset = start + length + len(separator)
        *self._complete, self._tail = rest.split(b"\n")
        return True

    def _takes_tail(self, room: bool) -> bool:
        return (
            room
            and self.is_at_end
            and 0 < len(self._tail) <= MAX_EVENT_BYTES
            and (self.is_archive or is_whole_object(self._tail.removeprefix(BOM)))
        )


def is_whole_object(text: bytes) -> bool:
    """Whether bytes are one complete JSON object."""
    try:
        return isinstance(msgspec.json.decode(text), dict)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
