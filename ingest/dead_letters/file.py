"""Dead letters in a file of this machine."""

import base64
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock

from foundation.durable_files import drop_partials, flush, write_whole
from ingest.dead_letters.dead_letter import (
    DeadLetter,
    Payload,
    Place,
    Settlement,
    positions_of,
    standing,
)
from ingest.errors import DeadLettersUnwritable


class DeadLetterFile:
    """See DeadLetters; the file of one home."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock_path = path.with_name(f"{path.name}.lock")

    def append(self, letters: Sequence[DeadLetter]) -> None:
        """See DeadLetters; heals a line that a crash tore."""
        self._write(letters)

    def read(self) -> list[DeadLetter]:
        """See DeadLetters."""
        return standing(self._log())

    def positions(self) -> set[Place]:
        """See DeadLetters."""
        return positions_of(self._log())

    def count(self) -> int:
        """See DeadLetters."""
        return len(self.positions())

    def settle(self, settlements: Sequence[Settlement]) -> None:
        """See DeadLetters; `trim` then makes the file shorter."""
        self._write(settlements)

    def trim(self, older_than: int) -> int:
        """See DeadLetters; leaves out what is settled, too."""
        if not self._path.exists():
            return 0
        with FileLock(self._lock_path):
            log = list(self._log())
            letters = standing(log)
            kept = [letter for letter in letters if letter.recorded_at >= older_than]
            if len(kept) < len(log):
                self._replace(kept)
        return len(letters) - len(kept)

    def _write(self, entries: Sequence[DeadLetter | Settlement]) -> None:
        if not entries:
            return
        try:
            with FileLock(self._lock_path), self._path.open("a+b") as file:
                _cut_torn_line(file.fileno())
                file.writelines(map(_line, entries))
                flush(file)
        except OSError as error:
            raise DeadLettersUnwritable(
                f"cannot write the dead letters to {self._path} ({error.strerror or error}), and no"
                " batch is applied without its own; free the disk or allow writing, and run again"
            ) from error

    def _replace(self, letters: Sequence[DeadLetter]) -> None:
        def write(partial: Path) -> None:
            with partial.open("wb") as file:
                file.writelines(map(_line, letters))

        drop_partials(self._path)
        write_whole(self._path, write)

    def _log(self) -> Iterator[DeadLetter | Settlement]:
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):  # else a crash tore it: its batch comes again
                    yield _entry(json.loads(line))


def _line(entry: DeadLetter | Settlement) -> bytes:
    document = entry.document() if isinstance(entry, DeadLetter) else asdict(entry)
    return f"{json.dumps(document)}\n".encode()


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


def _entry(document: dict[str, Any]) -> DeadLetter | Settlement:
    if "settled_at" in document:
        return Settlement(**document)
    text = document.get("text")
    content = base64.b64decode(document["base64"]) if text is None else text.encode()
    return DeadLetter(
        reason=document["reason"],
        source=document["source"],
        partition=document["partition"],
        offset=document["offset"],
        recorded_at=document["recorded_at"],
        payload=Payload(content=content, length=document["length"], sha256=document.get("sha256")),
        labels_time=document.get("labels_time"),
    )
