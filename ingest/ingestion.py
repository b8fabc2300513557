"""One run of ingest: catch up with a source, project the statistics, follow if asked to."""

import math
import time
from collections.abc import Callable
from datetime import datetime

from graphdb.store import GraphStore
from ingest.dead_letters import DeadLetters
from ingest.errors import Interrupted
from ingest.pipeline import Pipeline
from ingest.progress import Progress, Totals
from ingest.settings import DAY_SECONDS, IngestSettings
from ingest.sources import Source
from ingest.stop import StopRequest
from ingest.values import parse_time

EARLIEST = "earliest"


def rewind(graph: GraphStore, source: Source, start: str) -> None:
    """Set the positions of a source to `earliest` or to an RFC 3339 time. A replay is harmless."""
    if start == EARLIEST:
        graph.set_positions(source.earliest())
    else:
        graph.set_positions(source.at_time(parse_start(start)))


def parse_start(start: str) -> int:
    """Microseconds of an RFC 3339 time or of a date (UTC); raises EventRejected."""
    return parse_time("--from", f"{start}T00:00:00Z" if _is_date(start) else start)


def enforce_retention(settings: IngestSettings, graph: GraphStore) -> None:
    """Drop the dead letters and the changes in the feed that have outlived their time."""
    now_us = time.time_ns() // 1000
    day_us = DAY_SECONDS * 1_000_000
    DeadLetters(settings.dead_letters_path).trim(now_us - settings.dead_letter_days * day_us)
    graph.trim_changes(
        older_than=now_us - settings.change_days * day_us, max_rows=settings.max_changes
    )


class Ingestion:
    """Runs a pipeline until its source has nothing more, or until it is stopped.

    `project` brings the statistics up to date; it is called after the last batch, and while
    following every few seconds. `retire` drops what has outlived its time, now and then.
    """

    def __init__(
        self,
        settings: IngestSettings,
        pipeline: Pipeline,
        source: Source,
        *,
        progress: Progress,
        project: Callable[[], None],
        retire: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._pipeline = pipeline
        self._source = source
        self._progress = progress
        self._project = project
        self._retire = retire
        self._retired = -math.inf
        self._stop = StopRequest()
        self._started = time.monotonic()
        self.totals = Totals()

    def run(self, *, follow: bool = False) -> Totals:
        """Catch up, and with `follow` wait for more until a signal comes.

        Raises Interrupted when a signal ended a run that does not follow; SourceChanged, and
        GraphUnavailable as the pipeline does.
        """
        with self._stop.listening():
            self._run(follow=follow)
        if self._stop.requested and not follow:
            raise Interrupted(
                f"stopped by a signal after {self.totals}; run the same command again to go on"
            )
        return self.totals

    def _run(self, *, follow: bool) -> None:
        self._pipeline.resume()
        while True:
            interval = self._settings.statistics_interval_seconds if follow else math.inf
            found = self._catch_up(interval)
            if self._stop.requested:
                return
            if found or not follow:
                self._project()
            if time.monotonic() - self._retired >= self._settings.retention_interval_seconds:
                self._retire()
                self._retired = time.monotonic()
            if not follow:
                for warning in self._source.warnings():
                    self._progress.note(f"warning: {warning}")
                return
            time.sleep(self._settings.poll_seconds)

    def _catch_up(self, limit_seconds: float) -> int:
        """Commit batches until none is left, a signal comes or time is up; return their number."""
        end = time.monotonic() + limit_seconds
        num_batches = 0
        while not self._stop.requested and time.monotonic() < end:
            with self._stop.shield():
                report = self._pipeline.step()
            if report is None:
                break
            num_batches += 1
            self.totals.add(report)
            self.totals.seconds = time.monotonic() - self._started
            self._progress.update(self.totals, self._source.extent())
        return num_batches


def _is_date(text: str) -> bool:
    try:
        return datetime.strptime(text, "%Y-%m-%d").strftime("%Y-%m-%d") == text
    except ValueError:
        return False
