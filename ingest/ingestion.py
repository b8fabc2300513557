"""One run of ingest: catch up with a source, follow it if asked to, beside the statistics."""

import math
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Protocol, TypeVar

from foundation.outage import Outage
from foundation.stop import StopRequest
from graphdb.consumer import PassReport
from graphdb.errors import GraphUnreachable
from graphdb.store import GraphStore
from ingest.dead_letters.dead_letter import DeadLetters
from ingest.errors import BrokerUnreachable
from ingest.events.values import parse_time
from ingest.pipeline import BatchReport, Pipeline
from ingest.progress import Progress, Totals
from ingest.settings import DAY_SECONDS, IngestSettings
from ingest.sources.source import Extent, Source
from ingest.statistics.process import Statistics

EARLIEST = "earliest"
PASSING = (GraphUnreachable, BrokerUnreachable)
"""Errors of servers that come back: what raised them is tried again."""

T = TypeVar("T")


class Observer(Protocol):
    """Is called with what a run does."""

    def observe(self, report: BatchReport, seconds: float, extent: Extent) -> None:
        """A batch was committed so many seconds after it had been read."""

    def passed(self, extent: Extent) -> None:
        """There was nothing to read."""

    def projected(self, report: PassReport) -> None:
        """The statistics are up to date with a version of the graph."""


def rewind(graph: GraphStore, source: Source, start: str) -> None:
    """Set the positions of a source to `earliest` or to an RFC 3339 time. A replay is harmless."""
    if start == EARLIEST:
        graph.set_positions(source.earliest())
    else:
        graph.set_positions(source.at_time(parse_start(start)))


def parse_start(start: str, option: str = "--from") -> int:
    """Microseconds of an RFC 3339 time or of a date (UTC); raises EventRejected."""
    return parse_time(option, f"{start}T00:00:00Z" if _is_date(start) else start)


def enforce_retention(settings: IngestSettings, graph: GraphStore, letters: DeadLetters) -> None:
    """Drop the dead letters and the changes in the feed that have outlived their time."""
    now_us = time.time_ns() // 1000
    day_us = DAY_SECONDS * 1_000_000
    letters.trim(now_us - settings.dead_letter_days * day_us)
    graph.trim_changes(
        older_than=now_us - settings.change_days * day_us, max_rows=settings.max_changes
    )


class Ingestion:
    """Runs a pipeline until its source has nothing more, or until it is stopped.

    `statistics` follow the graph by themselves in a run that follows, and are waited for at the end
    of one that does not. `retire` drops what has outlived its time, now and then. While a server
    does not answer, the run waits, and then goes on with what it was about to do.
    """

    def __init__(
        self,
        settings: IngestSettings,
        pipeline: Pipeline,
        *,
        progress: Progress,
        statistics: Statistics,
        retire: Callable[[], None],
        observer: Observer | None = None,
    ) -> None:
        self._settings = settings
        self._pipeline = pipeline
        self._progress = progress
        self._statistics = statistics
        self._retire = retire
        self._observer = observer
        self._retired = -math.inf
        self._stop = StopRequest()
        self._outage = Outage(progress.note, self._sleep)
        self._started = time.monotonic()
        self.totals = Totals()

    def run(self, *, follow: bool = False) -> Totals:
        """Catch up, and with `follow` wait for more until a signal comes.

        Raises Interrupted when a signal ended a run that does not follow; SourceChanged, and
        GraphUnavailable as the pipeline does.
        """
        is_complete = False
        try:
            with self._stop.listening():
                self._run(follow=follow)
                is_complete = True
        finally:
            self._pipeline.close()
        if not is_complete and not follow:
            raise self._stop.interrupted(f"{self.totals}; run the same command again to go on")
        return self.totals

    def _run(self, *, follow: bool) -> None:
        interval = self._settings.retention_interval_seconds if follow else math.inf
        while True:
            self._catch_up(interval)
            self._stop.check()
            if not follow:
                self._statistics.catch_up(self._stop.check)
            if time.monotonic() - self._retired >= self._settings.retention_interval_seconds:
                self._retry(self._retire)
                self._retired = time.monotonic()
            if not follow:
                for warning in self._pipeline.warnings:
                    self._progress.note(f"warning: {warning}")
                return

    def _check(self) -> None:
        """Raise when a signal has come or the statistics have failed."""
        self._stop.check()
        self._statistics.check()

    def _sleep(self, seconds: float) -> None:
        self._stop.sleep(seconds)
        self._statistics.check()

    def _catch_up(self, limit_seconds: float) -> None:
        """Commit batches until none is left, a signal comes or time is up."""
        end = time.monotonic() + limit_seconds
        while not self._stop.requested and time.monotonic() < end:
            self._statistics.check()
            batch = self._retry(partial(self._pipeline.read, self._check))
            if batch is None:
                if self._observer is not None:
                    self._observer.passed(self._pipeline.extent)
                break
            started = time.monotonic()
            report = self._retry(partial(self._pipeline.commit, batch))
            if report is not None:
                self._count(report, time.monotonic() - started)

    def _count(self, report: BatchReport, seconds: float) -> None:
        extent = self._pipeline.extent
        self.totals.add(report)
        self.totals.seconds = time.monotonic() - self._started
        self._progress.update(self.totals, extent)
        if self._observer is not None:
            self._observer.observe(report, seconds, extent)

    def _retry(self, call: Callable[[], T]) -> T:
        """Call until the servers answer; a signal ends the waiting between two tries."""
        return self._outage.retry(call, PASSING)


def _is_date(text: str) -> bool:
    try:
        return datetime.strptime(text, "%Y-%m-%d").strftime("%Y-%m-%d") == text
    except ValueError:
        return False
