"""Dead letters in a file of this machine."""

import base64
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from foundation.durable_files import drop_partials, flush, write_whole
from ingest.dead_letters.dead_letter import DeadLetter, Payload
from ingest.errors import DeadLettersUnwritable


class DeadLetterFile:
    """See DeadLetters; the file of one home."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock_path = path.with_name(f"{path.name}.lock")

    def append(self, letters: Sequence[DeadLetter]) -> None:
        """See DeadLetters; heals a line that a crash tore."""
        if not letters:
            return
        try:
            with FileLock(self._lock_path), self._path.open("a+b") as file:
                _cut_torn_line(file.fileno())
                file.writelines(map(_line, letters))
                flush(file)
        except OSError as error:
            raise DeadLettersUnwritable(
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
        def write(partial: Path) -> None:
            with partial.open("wb") as file:
                file.writelines(map(_line, letters))

        drop_partials(self._path)
        write_whole(self._path, write)

    def _lines(self) -> Iterator[DeadLetter]:
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):  # else a crash tore it: its batch comes again
                    yield _letter(json.loads(line))


def _line(letter: DeadLetter) -> bytes:
    return f"{json.dumps(letter.document())}\n".encode()


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
