"""One run of ingest: catch up with a source, project the statistics, follow if asked to."""

import math
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Protocol, TypeVar

from featurestore.errors import RegistryUnreachable, StoreUnreachable
from foundation.outage import Outage
from foundation.stop import StopRequest
from graphdb.errors import GraphUnreachable, StageBusy
from graphdb.store import GraphStore
from ingest.dead_letters.dead_letter import DeadLetters
from ingest.errors import BrokerUnreachable
from ingest.events.values import parse_time
from ingest.pipeline import BatchReport, Pipeline
from ingest.progress import Progress, Totals
from ingest.settings import DAY_SECONDS, IngestSettings
from ingest.sources.source import Extent, Source
from ingest.statistics.open import Project

EARLIEST = "earliest"
PASSING = (GraphUnreachable, BrokerUnreachable, StoreUnreachable, RegistryUnreachable)
"""Errors of servers that come back: what raised them is tried again."""

T = TypeVar("T")


class Observer(Protocol):
    """Is called with what a run does."""

    def observe(self, report: BatchReport, seconds: float, extent: Extent) -> None:
        """A batch was committed so many seconds after it had been read."""

    def passed(self, extent: Extent) -> None:
        """There was nothing to read."""


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

    `project` brings the statistics up to date; it is called after the last batch, and while
    following every few seconds. `retire` drops what has outlived its time, now and then. While a
    server does not answer, the run waits, and then goes on with what it was about to do; but where
    it follows, events do not wait for the servers of the statistics.
    """

    def __init__(
        self,
        settings: IngestSettings,
        pipeline: Pipeline,
        *,
        progress: Progress,
        project: Project,
        retire: Callable[[], None],
        observer: Observer | None = None,
    ) -> None:
        self._settings = settings
        self._pipeline = pipeline
        self._progress = progress
        self._project = project
        self._retire = retire
        self._observer = observer
        self._retired = -math.inf
        self._stop = StopRequest()
        self._outage = Outage(progress.note, self._stop.sleep)
        self._projection_outage = Outage(progress.note, self._stop.sleep)
        self._is_projected = False  # a run that was killed may have left something
        self._is_left_to_another = False
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
        while True:
            interval = self._settings.statistics_interval_seconds if follow else math.inf
            found = self._catch_up(interval)
            self._stop.check()
            if not follow:
                self._retry(self._project_unless_busy)
            elif found or not self._is_projected:
                self._project_if_possible()
            if time.monotonic() - self._retired >= self._settings.retention_interval_seconds:
                self._retry(self._retire)
                self._retired = time.monotonic()
            if not follow:
                for warning in self._pipeline.warnings:
                    self._progress.note(f"warning: {warning}")
                return

    def _project_if_possible(self) -> None:
        try:
            self._is_projected = self._project_unless_busy()
        except PASSING as error:
            self._projection_outage.report(error)
            self._is_projected = False
        else:
            self._projection_outage.end()

    def _project_unless_busy(self) -> bool:
        """Bring the statistics up to date; False while that is another process's.

        The other one may have looked before the last commit here, so it is tried again later.
        """
        try:
            self._project(self._stop.check)
        except StageBusy as busy:
            if not self._is_left_to_another:
                self._progress.note(f"statistics are left to another process ({busy})")
            self._is_left_to_another = True
            return False
        self._is_left_to_another = False
        return True

    def _catch_up(self, limit_seconds: float) -> int:
        """Commit batches until none is left, a signal comes or time is up; return their number."""
        end = time.monotonic() + limit_seconds
        num_batches = 0
        while not self._stop.requested and time.monotonic() < end:
            batch = self._retry(partial(self._pipeline.read, self._stop.check))
            if batch is None:
                if self._observer is not None:
                    self._observer.passed(self._pipeline.extent)
                break
            started = time.monotonic()
            report = self._retry(partial(self._pipeline.commit, batch))
            if report is not None:
                num_batches += 1
                self._count(report, time.monotonic() - started)
        return num_batches

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
