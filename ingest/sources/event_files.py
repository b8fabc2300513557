"""Which files hold events: the one that is named, or those of a folder, by their names."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ingest.errors import SourceMissing
from ingest.sources.archives import SUFFIXES

EVENTS = ".jsonl"
LABELS = "labels.jsonl"
NOT_EVENTS = {LABELS, "dead_letters.jsonl"}
SHOWN_NAMES = 10


@dataclass(slots=True, kw_only=True)
class EventFiles:
    """Real paths of files of events, why others cannot be read, and the names of other files.

    `faults` are sentences, by the path as it can be shown.
    """

    files: list[Path] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)

    def add(self, path: Path, real: Path) -> None:
        """Take a file, where its name can be kept as that of a source."""
        if is_text(str(real)):
            self.files.append(real)
        else:
            self.faults[shown(path)] = (
                f"cannot read {shown(path)}: its name is not UTF-8; rename it"
            )

    def describe_others(self) -> str:
        """The names of what else is there, after `it has no file of events`."""
        return f", only {listed(self.others)}" if self.others else ""


def find_event_files(path: Path) -> EventFiles:
    """What there is at a path; raises SourceMissing when it is neither a file nor a folder.

    Of a folder: files that end in .jsonl, .jsonl.gz or .jsonl.zst, in order of their names.
    """
    found = EventFiles()
    if path.is_dir():
        folder = path.resolve()
        for entry in _entries(folder):
            _add_entry(found, folder / entry.name, entry)
        return found
    if path.is_file():
        found.add(path, path.resolve())
        return found
    raise SourceMissing(
        f"no events at {shown(path)}: it is neither a file nor a folder (--events or"
        " MMGA_EVENTS_URL)"
    )


def shown(path: Path) -> str:
    """A path as it can be printed, in one line."""
    text = os.fsencode(path).decode(errors="backslashreplace")
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def is_text(name: str) -> bool:
    """Whether a name is UTF-8, which stores and logs need."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def listed(names: list[str]) -> str:
    """Some names, and how many more there are."""
    more = len(names) - SHOWN_NAMES
    return ", ".join(names[:SHOWN_NAMES]) + (f" and {more:,} more" if more > 0 else "")


def _entries(folder: Path) -> Iterator["os.DirEntry[str]"]:
    with os.scandir(folder) as entries:
        yield from sorted(entries, key=lambda entry: os.fsencode(entry.name))


def _add_entry(found: EventFiles, path: Path, entry: "os.DirEntry[str]") -> None:
    if entry.name.startswith("."):
        return
    name = entry.name
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    if not name.endswith(EVENTS) or name in NOT_EVENTS:
        if entry.is_file():
            found.others.append(shown(Path(entry.name)))
        return
    try:
        real = path.resolve(strict=True) if entry.is_symlink() else path
        if entry.is_file():
            found.add(path, real)
        else:
            found.others.append(shown(Path(entry.name)))
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
        reason = getattr(error, "strerror", None) or "links lead in a circle"
        found.faults[shown(path)] = f"cannot read {shown(path)}: {reason}"
