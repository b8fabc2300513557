"""Runs of ingest: what is retired, what is told, how a run ends."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from foundation.errors import Interrupted
from graphdb.errors import ChangesTrimmed
from graphdb.facts import Batch
from graphdb.store import Commit
from ingest.dead_letters.file import DeadLetterFile
from ingest.errors import EventRejected, StatisticsFailed
from ingest.ingestion import Ingestion, enforce_retention, parse_start
from ingest.pipeline import Pipeline
from ingest.progress import LineProgress, Totals
from ingest.settings import IngestSettings
from ingest.sources.files import FileSource
from ingest.sources.source import Extent
from ingest.statistics.open import progress_lines
from ingest.statistics.process import NoStatistics, Statistics
from tests.graphdb.oracle import GraphOracle
from tests.ingest.made import follow_lines


class Projected:
    """Statistics that do what a test plans where ingest waits for them, or hears of them."""

    def __init__(
        self,
        catch_up: Callable[[Callable[[], None]], object] = lambda check: None,
        check: Callable[[], object] = lambda: None,
    ) -> None:
        self._catch_up, self._check = catch_up, check

    def check(self) -> None:
        self._check()

    def catch_up(self, check: Callable[[], None]) -> None:
        self._catch_up(check)


def ingestion(
    folder: Path,
    graph: GraphOracle,
    statistics: Statistics = NoStatistics(),  # noqa: B008
    batch_size: int = 2,
) -> Ingestion:
    events = folder / "e.jsonl"
    events.write_bytes(b"".join(text + b"\n" for text in follow_lines(6)))
    settings = IngestSettings(home=folder, batch_size=batch_size, poll_seconds=0.01)
    letters = DeadLetterFile(settings.dead_letters_path)
    return Ingestion(
        settings,
        Pipeline(FileSource(events, wait_seconds=0.01), graph, letters, batch_size=batch_size),
        progress=LineProgress(),
        statistics=statistics,
        retire=lambda: None,
    )


def test_a_run_catches_up_and_then_waits_for_the_statistics(tmp_path: Path) -> None:
    graph = GraphOracle()
    follows_when_asked: list[int] = []
    projected = Projected(lambda check: follows_when_asked.append(graph.counts().follows))
    totals = ingestion(tmp_path, graph, projected).run()
    assert (totals.events, totals.applied) == (6, 6)
    assert follows_when_asked == [6]


def test_a_run_that_follows_never_waits_for_the_statistics(tmp_path: Path) -> None:
    graph = GraphOracle()
    num_heard = 0

    def hear() -> None:
        nonlocal num_heard
        num_heard += 1
        if graph.counts().follows == 6 and num_heard < 100:
            num_heard = 100
            with (tmp_path / "e.jsonl").open("ab") as file:
                file.writelines(text + b"\n" for text in follow_lines(3, first=6))
        if graph.counts().follows == 9:
            os.kill(os.getpid(), signal.SIGTERM)

    projected = Projected(lambda check: pytest.fail("waited"), hear)
    assert ingestion(tmp_path, graph, projected).run(follow=True).applied == 9


@pytest.mark.parametrize("follow", [True, False])
def test_statistics_that_fail_end_a_run(tmp_path: Path, follow: bool) -> None:
    """Also one that has nothing to read, or waits for a server."""
    graph, num_left = GraphOracle(), 20

    def fail() -> None:
        nonlocal num_left
        num_left -= 1
        if not num_left:
            raise StatisticsFailed("disk full")

    run = ingestion(tmp_path, graph, Projected(lambda check: [fail() for _ in range(20)], fail))
    with pytest.raises(StatisticsFailed, match="disk full"):
        run.run(follow=follow)
    assert graph.counts().follows == 6


class Signalled(GraphOracle):
    """A graph during whose commits a signal comes."""

    def apply(self, batch: Batch) -> Commit:
        os.kill(os.getpid(), signal.SIGINT)
        return super().apply(batch)


def test_a_signal_ends_a_run_behind_the_batch_that_it_hit(tmp_path: Path) -> None:
    graph, before = Signalled(), signal.getsignal(signal.SIGINT)  # a shell's background ignores it
    with pytest.raises(Interrupted, match=r"2 events.*run the same command again"):
        ingestion(tmp_path, graph).run()
    assert graph.counts().follows == 2
    assert signal.getsignal(signal.SIGINT) is before


def test_changes_are_retired_when_there_are_too_many(tmp_path: Path) -> None:
    graph = GraphOracle()
    run = ingestion(tmp_path, graph)
    run.run()
    settings = IngestSettings(home=tmp_path)
    enforce_retention(settings, graph, DeadLetterFile(settings.dead_letters_path))
    assert len(list(graph.changes(0))) == 3
    enforce_retention(
        replace(settings, max_changes=1), graph, DeadLetterFile(settings.dead_letters_path)
    )
    with pytest.raises(ChangesTrimmed):
        graph.changes(0)


def test_where_to_start() -> None:
    day_us = 1_767_225_600_000_000
    assert parse_start("2026-01-01") == parse_start("2026-01-01T01:00:00+01:00") == day_us
    with pytest.raises(EventRejected):
        parse_start("2026-1-1")


def test_progress_is_a_line_every_few_seconds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter([0.0, 1.0, 6.0, 6.0, 7.0])
    monkeypatch.setattr("time.monotonic", lambda: next(seconds))
    progress = LineProgress()
    totals = Totals(events=1000, applied=900, superseded=60, dead_letters=40, seconds=2.0)
    for _ in range(3):
        progress.update(totals, Extent(done=1, total=4))
    assert capsys.readouterr().err == (
        "ingest: 25% read, 1,000 events: 900 applied, 60 superseded, 40 dead letters,"
        " in 2.0 s (500 events/s)\n"
    )


def test_statistics_tell_their_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([0.0, 1.0, 6.0, 6.0])
    monkeypatch.setattr("time.monotonic", lambda: next(seconds))
    told: list[str] = []
    hear = progress_lines(told.append)
    hear(1, 3)
    hear(2, 3)
    assert told == ["statistics: 2 of 3 users"]


def test_a_signal_ends_the_waiting_for_the_statistics(tmp_path: Path) -> None:
    asked: list[int] = []

    def catch_up(check: Callable[[], None]) -> None:
        for number in range(100):
            check()
            asked.append(number)
            if number == 2:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(0.01)

    with pytest.raises(Interrupted, match="run the same command again"):
        ingestion(tmp_path, GraphOracle(), Projected(catch_up)).run()
    assert asked == [0, 1, 2]


def test_a_signal_that_comes_into_the_last_work_of_a_run_interrupts_nothing(tmp_path: Path) -> None:
    def catch_up(check: Callable[[], None]) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)

    assert ingestion(tmp_path, GraphOracle(), Projected(catch_up)).run().events == 6
