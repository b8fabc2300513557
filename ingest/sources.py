"""Where events come from: the contract of a source, and how one is chosen by its URL."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from graphdb.facts import Position, PositionMove
from ingest.dead_letters import Payload
from ingest.errors import SourceMissing


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """Consecutive events of one partition: their bytes and their offsets, of equal length.

    `too_long` are (offset, payload) of records that are longer than any event. Applying `move`
    with the events says that all of them have been read.
    """

    lines: list[bytes]
    offsets: list[int]
    too_long: list[tuple[int, Payload]]
    move: PositionMove


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much of a source has been read and how much there is, in bytes or messages."""

    done: int
    total: int


class Source(Protocol):
    """A stream of events in partitions, read from stored positions on."""

    def seek(self, positions: Sequence[Position]) -> None:
        """Go on from the stored positions; a partition without one starts at its beginning.

        Forgets what was read and not committed. Raises SourceChanged when an offset lies outside
        the log or the log is another one.
        """

    def read(self, max_events: int) -> list[Records]:
        """The next events, at most so many; none when there are none for now."""

    def earliest(self) -> list[Position]:
        """The beginning of each partition."""

    def at_time(self, time: int) -> list[Position]:
        """The first event at or after a time (microseconds) in each partition, or its end."""

    def extent(self) -> Extent:
        """How far reading has come."""

    def warnings(self) -> list[str]:
        """What a person should know about what is left unread, a line each."""

    def close(self) -> None:
        """Release files and connections."""


def open_source(url: str, *, wait: bool = False) -> Source:
    """The source at a path or URL; raises SourceMissing when there is none.

    With `wait` a folder may have no file yet.
    """
    scheme, separator, _ = url.partition("://")
    opener = _OPENERS.get(scheme if separator else "file")
    if opener is None:
        raise SourceMissing(
            f"cannot read events from {scheme}://…: give the path of a .jsonl file or of a folder"
            " of them (--events or MMGA_EVENTS_URL)"
        )
    return opener(url, wait)


def _open_files(url: str, wait: bool) -> Source:
    from ingest.files import FileSource, event_files

    path = Path(url.removeprefix("file://"))
    if not event_files(path) and not wait:
        raise SourceMissing(
            f"no events in folder {path}: it has no .jsonl file (--follow waits for one)"
        )
    return FileSource(path)


_OPENERS: dict[str, Callable[[str, bool], Source]] = {"file": _open_files}
