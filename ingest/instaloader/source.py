"""A crawl as a source of events: each file is a partition, each event at the offset of its number.

Events of a crawl may be repeated, so nothing of their positions is stored: every reading begins
with the first file. A dead letter names the file and the number of the event in it.
"""

from collections.abc import Iterator, Sequence

from graphdb.facts import Position, PositionMove
from ingest.instaloader.crawl import Crawl, FileEvents
from ingest.sources.source import Extent, Records


class CrawlSource:
    """The events of a crawl; see Source."""

    def __init__(self, crawl: Crawl) -> None:
        self._crawl = crawl
        self._events: Iterator[FileEvents] = iter(())

    def seek(self, positions: Sequence[Position]) -> None:
        """Begin anew, whatever the positions."""
        self._events = self._crawl.events()

    def read(self, max_events: int) -> list[Records] | None:
        """See Source; files share a batch."""
        found: list[Records] = []
        while max_events > 0 and (events := next(self._events, None)) is not None:
            found.append(_records(events))
            max_events -= len(events.lines)
        return found or None

    def keep_alive(self) -> None:
        """See Source; files stay."""

    def committed(self, positions: Sequence[Position]) -> None:
        """See Source; a folder has no tools that would ask."""

    def earliest(self) -> list[Position]:
        """See Source; nothing is stored."""
        return []

    def at_time(self, time: int) -> list[Position]:
        """See Source; nothing is stored."""
        return []

    def extent(self) -> Extent:
        """See Source; in files."""
        return Extent(done=self._crawl.num_read, total=self._crawl.num_files)

    def warnings(self) -> list[str]:
        """See Source; what is skipped is part of the result."""
        return []

    def close(self) -> None:
        """See Source; a file is open only while it is read."""
        self._events = iter(())


def _records(events: FileEvents) -> Records:
    source, end = str(events.path), events.first + len(events.lines)
    return Records(
        lines=events.lines,
        offsets=list(range(events.first, end)),
        move=PositionMove(
            expected=events.first or None,
            next=Position(source=source, partition=0, offset=end),
        ),
    )
