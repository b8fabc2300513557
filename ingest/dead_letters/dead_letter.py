"""Dead letters: the events that could not be applied, why, and where they stood.

A batch's dead letters are kept for good before the batch commits, so a crash in between keeps them
twice: they are identified by their position, and readers take the newest of each. Those of files
are one JSON object a line in `dead_letters.jsonl`; those of Kafka are messages of a topic
(`ingest.kafka.dead_letters`).
"""

import base64
import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock

from ingest.errors import LettersUnwritable

MAX_PAYLOAD_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """The original bytes of an event, cut above 256 KB; then `length` and `sha256` tell the rest.

    `length` is of the whole; `sha256` is None when nothing was cut.
    """

    content: bytes
    length: int
    sha256: str | None = None

    @property
    def is_cut(self) -> bool:
        """Whether the content is not the whole."""
        return self.length > len(self.content)

    @classmethod
    def of(cls, original: bytes) -> "Payload":
        """Cut what is too long."""
        if len(original) <= MAX_PAYLOAD_BYTES:
            return cls(content=original, length=len(original))
        digest = hashlib.sha256(original).hexdigest()
        return cls(content=original[:MAX_PAYLOAD_BYTES], length=len(original), sha256=digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """An event that was rejected; `recorded_at` is in microseconds.

    `key` is that of the message, None where there was none.
    """

    reason: str
    source: str
    partition: int
    offset: int
    payload: Payload
    recorded_at: int
    key: bytes | None = None

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
        if self.key is not None:
            document["key"] = self.key.decode(errors="backslashreplace")
        return document


class DeadLetters(Protocol):
    """Where dead letters are kept. Several processes may append."""

    def append(self, letters: Sequence[DeadLetter]) -> None:
        """Keep letters for good before returning.

        Raises LettersUnwritable; BrokerUnreachable, after which it may be called again.
        """

    def read(self) -> list[DeadLetter]:
        """The newest letter of each position, in the order in which positions were first seen."""

    def count(self) -> int:
        """The number of distinct positions."""

    def settle(self, letters: Sequence[DeadLetter]) -> None:
        """Forget letters whose events have been sent again."""

    def trim(self, older_than: int) -> int:
        """Drop letters recorded before `older_than` (microseconds); return how many."""


class DeadLetterFile:
    """See DeadLetters; the file of one home."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock_path = path.with_name(f"{path.name}.lock")

    def append(self, letters: Sequence[DeadLetter]) -> None:
        """See DeadLetters; heals a line that a crash tore."""
        if not letters:
            return
        text = "".join(f"{json.dumps(letter.document())}\n" for letter in letters)
        try:
            with FileLock(self._lock_path), self._path.open("a+b") as file:
                _cut_torn_line(file.fileno())
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise LettersUnwritable(
                f"cannot write the dead letters to {self._path} ({error.strerror or error}): their"
                " batch was not applied; free the disk or make it writable, and run again"
            ) from error

    def read(self) -> list[DeadLetter]:
        """See DeadLetters."""
        newest: dict[tuple[str, int, int], DeadLetter] = {}
        for letter in self._lines():
            newest[letter.position] = letter
        return list(newest.values())

    def count(self) -> int:
        """See DeadLetters."""
        return len({letter.position for letter in self._lines()})

    def settle(self, letters: Sequence[DeadLetter]) -> None:
        """See DeadLetters."""
        settled = {letter.position for letter in letters}
        if not settled or not self._path.exists():
            return
        with FileLock(self._lock_path):
            self._replace(letter for letter in self.read() if letter.position not in settled)

    def trim(self, older_than: int) -> int:
        """See DeadLetters."""
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


def rejected(
    reason: str,
    source: str,
    partition: int,
    offset: int,
    payload: Payload,
    *,
    key: bytes | None = None,
) -> DeadLetter:
    """A dead letter of this moment."""
    return DeadLetter(
        reason=reason,
        source=source,
        partition=partition,
        offset=offset,
        payload=payload,
        recorded_at=time.time_ns() // 1000,
        key=key,
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
