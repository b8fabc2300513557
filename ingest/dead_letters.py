"""Dead letters: the events that could not be applied, why, and where they stood.

One JSON object a line in `dead_letters.jsonl`. A batch's dead letters are on the disk before the
batch commits, so a crash in between writes them twice: they are identified by their position, and
readers keep the newest of each.
"""

import base64
import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

MAX_PAYLOAD_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """The original bytes of an event, cut above 256 KB; then `length` and `sha256` tell the rest.

    `length` is of the whole; `sha256` is None when nothing was cut.
    """

    content: bytes
    length: int
    sha256: str | None = None

    @classmethod
    def of(cls, original: bytes) -> "Payload":
        """Cut what is too long."""
        if len(original) <= MAX_PAYLOAD_BYTES:
            return cls(content=original, length=len(original))
        digest = hashlib.sha256(original).hexdigest()
        return cls(content=original[:MAX_PAYLOAD_BYTES], length=len(original), sha256=digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """An event that was rejected; `recorded_at` is in microseconds."""

    reason: str
    source: str
    partition: int
    offset: int
    payload: Payload
    recorded_at: int

    @property
    def position(self) -> tuple[str, int, int]:
        """What identifies it."""
        return self.source, self.partition, self.offset

    def document(self) -> dict[str, Any]:
        """As it is kept and listed: text where the bytes are text, base64 where they are not."""
        document: dict[str, Any] = {
            "reason": self.reason,
            "source": self.source,
            "partition": self.partition,
            "offset": self.offset,
            "recorded_at": self.recorded_at,
            "length": self.payload.length,
        }
        try:
            document["text"] = self.payload.content.decode()
        except UnicodeDecodeError:
            document["base64"] = base64.b64encode(self.payload.content).decode()
        if self.payload.sha256 is not None:
            document["sha256"] = self.payload.sha256
        return document


class DeadLetters:
    """The file of dead letters of one home. Several processes may append."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock_path = path.with_name(f"{path.name}.lock")

    def append(self, letters: Sequence[DeadLetter]) -> None:
        """Write letters and wait until they are on the disk; heal a line that a crash tore."""
        if not letters:
            return
        text = "".join(f"{json.dumps(letter.document())}\n" for letter in letters)
        with FileLock(self._lock_path), self._path.open("a+b") as file:
            _cut_torn_line(file.fileno())
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> list[DeadLetter]:
        """The newest letter of each position, in the order in which positions were first seen."""
        newest: dict[tuple[str, int, int], DeadLetter] = {}
        for letter in self._lines():
            newest[letter.position] = letter
        return list(newest.values())

    def count(self) -> int:
        """The number of distinct positions."""
        return len({letter.position for letter in self._lines()})

    def trim(self, older_than: int) -> int:
        """Drop letters recorded before `older_than` (microseconds); return how many."""
        if not self._path.exists():
            return 0
        with FileLock(self._lock_path):
            letters = list(self._lines())
            kept = [letter for letter in letters if letter.recorded_at >= older_than]
            if len(kept) < len(letters):
                self._replace(kept)
        return len(letters) - len(kept)

    def _replace(self, letters: Iterable[DeadLetter]) -> None:
        staged = self._path.with_name(f"{self._path.name}.new")
        with staged.open("wb") as file:
            file.writelines(f"{json.dumps(letter.document())}\n".encode() for letter in letters)
            file.flush()
            os.fsync(file.fileno())
        staged.replace(self._path)

    def _lines(self) -> Iterator[DeadLetter]:
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):  # else a crash tore it: its batch comes again
                    yield _letter(json.loads(line))


def rejected(reason: str, source: str, partition: int, offset: int, payload: Payload) -> DeadLetter:
    """A dead letter of this moment."""
    return DeadLetter(
        reason=reason,
        source=source,
        partition=partition,
        offset=offset,
        payload=payload,
        recorded_at=time.time_ns() // 1000,
    )


def _cut_torn_line(descriptor: int) -> None:
    """Cut what follows the last line break."""
    end = os.fstat(descriptor).st_size
    while end:
        start = max(0, end - 65_536)
        found = os.pread(descriptor, end - start, start).rfind(b"\n")
        if found >= 0:
            end = start + found + 1
            break
        end = start
    if end < os.fstat(descriptor).st_size:
        os.ftruncate(descriptor, end)


def _letter(document: dict[str, Any]) -> DeadLetter:
    text = document.get("text")
    content = base64.b64decode(document["base64"]) if text is None else text.encode()
    return DeadLetter(
        reason=document["reason"],
        source=document["source"],
        partition=document["partition"],
        offset=document["offset"],
        recorded_at=document["recorded_at"],
        payload=Payload(content=content, length=document["length"], sha256=document.get("sha256")),
    )
