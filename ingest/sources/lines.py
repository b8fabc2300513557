"""Lines of a file that may grow, be cut short or hold lines of any length."""

import hashlib
from itertools import accumulate
from pathlib import Path

import msgspec

from ingest.dead_letters.dead_letter import MAX_PAYLOAD_BYTES, Payload

MAX_EVENT_BYTES = 1 << 20
"""No event is longer: Kafka's own limit, and far above the sum of the fields' limits."""

TOO_LONG = f"the event is longer than {MAX_EVENT_BYTES} bytes"

BLOCK_BYTES = 1 << 20


class LineReader:
    """Reads lines from an offset on, with memory bounded whatever the file holds."""

    def __init__(self, path: Path, offset: int) -> None:
        self._file = path.open("rb")
        self._file.seek(offset)
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
        break is returned when it is a whole JSON object.
        """
        lines: list[bytes] = []
        offsets: list[int] = []
        too_long: list[tuple[int, Payload]] = []
        stop = self.offset + max_bytes
        while len(lines) + len(too_long) < max_lines and self.offset < stop:
            if not self._complete and not self._fill(too_long):
                break
            room = max_lines - len(lines) - len(too_long)
            taken, self._complete = self._complete[:room], self._complete[room:]
            starts = list(accumulate((len(line) + 1 for line in taken), initial=self.offset))
            self.offset = starts.pop()
            for line, start in zip(taken, starts, strict=True):
                if len(line) > MAX_EVENT_BYTES:
                    too_long.append((start, Payload.of(line)))
                elif line and not line.isspace():
                    lines.append(line)
                    offsets.append(start)
        if self._takes_tail(len(lines) + len(too_long) < max_lines):
            lines.append(self._tail)
            offsets.append(self.offset)
            self.offset += len(self._tail)
            self._tail = b""
        return lines, offsets, too_long

    @property
    def num_unread_bytes(self) -> int:
        """The length of a last line without a line break that was left, blanks aside."""
        return len(self._tail.strip())

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _fill(self, too_long: list[tuple[int, Payload]]) -> bool:
        """Split the next block into complete lines; False at the end of the file."""
        while not self._complete:
            if len(self._tail) > MAX_EVENT_BYTES:
                return self._skip_long_line(too_long)
            block = self._file.read(BLOCK_BYTES)
            self._at_end = not block
            if self._at_end:
                return False
            *self._complete, self._tail = (self._tail + block).split(b"\n")
        return True

    def _skip_long_line(self, too_long: list[tuple[int, Payload]]) -> bool:
        """Pass a line that is too long to be kept; False when it has not ended yet.

        Without a line break it has ended when it looks like an object: it is a dead letter either
        way, and what may still follow it becomes another.
        """
        start, length = self.offset, len(self._tail)
        content, digest = self._tail[:MAX_PAYLOAD_BYTES], hashlib.sha256(self._tail)
        last, rest, separator = self._tail, b"", b""
        while not separator and (block := self._file.read(BLOCK_BYTES)):
            part, separator, rest = block.partition(b"\n")
            digest.update(part)
            length += len(part)
            last = part.rstrip() or last
        if not separator and not last.rstrip().endswith(b"}"):
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
            and self._at_end
            and not self._complete
            and 0 < len(self._tail) <= MAX_EVENT_BYTES
            and is_whole_object(self._tail)
        )


def is_whole_object(text: bytes) -> bool:
    """Whether bytes are one complete JSON object."""
    try:
        return isinstance(msgspec.json.decode(text), dict)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
