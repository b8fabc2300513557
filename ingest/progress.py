"""Progress of ingestion on stderr: a bar on a terminal, a line every few seconds elsewhere."""

import sys
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Protocol

from ingest.pipeline import BatchReport
from ingest.sources.source import Extent

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

SECONDS_BETWEEN_LINES = 5.0


@dataclass(slots=True, kw_only=True)
class Totals:
    """What one run of ingest has done so far; `seconds` includes waiting for more."""

    events: int = 0
    applied: int = 0
    superseded: int = 0
    dead_letters: int = 0
    seconds: float = 0.0

    def add(self, report: BatchReport) -> None:
        """Count one batch."""
        self.events += report.num_events
        self.applied += report.num_applied
        self.superseded += report.num_superseded
        self.dead_letters += report.num_dead_letters

    def document(self) -> dict[str, float]:
        """As `mmga ingest --json` prints it."""
        return asdict(self)

    def __str__(self) -> str:
        rate = self.events / self.seconds if self.seconds else 0.0
        return (
            f"{self.events:,} events: {self.applied:,} applied, {self.superseded:,} superseded,"
            f" {self.dead_letters:,} dead letters, in {self.seconds:.1f} s ({rate:,.0f} events/s)"
        )


class Progress(Protocol):
    """Shows how far a run has come."""

    def update(self, totals: Totals, extent: Extent) -> None:
        """After each batch."""

    def note(self, message: str) -> None:
        """Something a person should know."""

    def close(self) -> None:
        """At the end."""


class LineProgress:
    """A line every few seconds, for logs."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def update(self, totals: Totals, extent: Extent) -> None:
        """See Progress."""
        if time.monotonic() - self._last >= SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            share = f"{extent.done / extent.total:.0%}" if extent.total else "-"
            print(f"ingest: {share} read, {totals}", file=sys.stderr, flush=True)

    def note(self, message: str) -> None:
        """See Progress."""
        print(message, file=sys.stderr, flush=True)

    def close(self) -> None:
        """See Progress."""


class BarProgress:
    """A bar with the share read, events, rate and time left."""

    def __init__(self, bar: "RichProgress") -> None:
        self._bar = bar
        self._task = bar.add_task("ingest", total=None, events="")

    def update(self, totals: Totals, extent: Extent) -> None:
        """See Progress."""
        self._bar.start()  # once: nothing is drawn where nothing is read
        rate = totals.events / totals.seconds if totals.seconds else 0.0
        self._bar.update(
            self._task,
            completed=extent.done,
            total=extent.total,
            events=f"{totals.events:,} events, {rate:,.0f}/s, {totals.dead_letters:,} dead letters",
        )

    def note(self, message: str) -> None:
        """See Progress."""
        self._bar.console.print(message, markup=False, highlight=False)

    def close(self) -> None:
        """See Progress."""
        self._bar.stop()


def open_progress() -> Progress:
    """The kind that fits stderr."""
    if not sys.stderr.isatty():
        return LineProgress()
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    return BarProgress(
        RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[events]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
    )
