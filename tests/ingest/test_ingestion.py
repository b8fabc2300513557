"""Runs of ingest: what is retired, what is told, how a run ends."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from foundation.errors import Interrupted
from graphdb.errors import ChangesTrimmed, StageBusy
from graphdb.facts import Batch
from graphdb.store import Commit
from ingest.dead_letters.file import DeadLetterFile
from ingest.errors import EventRejected
from ingest.ingestion import Ingestion, enforce_retention, parse_start
from ingest.pipeline import Pipeline
from ingest.progress import LineProgress, Totals
from ingest.settings import IngestSettings
from ingest.sources.files import FileSource
from ingest.sources.source import Extent
from ingest.statistics.open import Project, progress_lines
from tests.graphdb.oracle import GraphOracle
from tests.ingest.made import follow_lines


def ingestion(folder: Path, graph: GraphOracle, project: Project, batch_size: int = 2) -> Ingestion:
    events = folder / "e.jsonl"
    events.write_bytes(b"".join(text + b"\n" for text in follow_lines(6)))
    settings = IngestSettings(home=folder, batch_size=batch_size, poll_seconds=0.01)
    letters = DeadLetterFile(settings.dead_letters_path)
    return Ingestion(
        settings,
        Pipeline(FileSource(events, wait_seconds=0.01), graph, letters, batch_size=batch_size),
        progress=LineProgress(),
        project=project,
        retire=lambda: None,
    )


def test_a_run_catches_up_and_then_projects(tmp_path: Path) -> None:
    graph = GraphOracle()
    follows_when_projected: list[int] = []
    run = ingestion(
        tmp_path, graph, lambda check: follows_when_projected.append(graph.counts().follows)
    )
    totals = run.run()
    assert (totals.events, totals.applied) == (6, 6)
    assert follows_when_projected == [6]


def test_a_run_that_follows_projects_what_came_and_ends_by_a_signal(tmp_path: Path) -> None:
    graph = GraphOracle()
    follows_when_projected: list[int] = []

    def project(check: Callable[[], None]) -> None:
        follows_when_projected.append(graph.counts().follows)
        if len(follows_when_projected) == 1:
            with (tmp_path / "e.jsonl").open("ab") as file:
                file.writelines(text + b"\n" for text in follow_lines(3, first=6))
        else:
            os.kill(os.getpid(), signal.SIGTERM)

    totals = ingestion(tmp_path, graph, project).run(follow=True)
    assert totals.applied == 9
    assert follows_when_projected == [6, 9]


def test_a_run_that_follows_projects_what_others_have_left(tmp_path: Path) -> None:
    """At its start, as the run before may have been killed; again while another process does it."""
    graph, num_asked = GraphOracle(), 0
    ingestion(tmp_path, graph, lambda check: None).run()

    def project(check: Callable[[], None]) -> None:
        nonlocal num_asked
        num_asked += 1
        if num_asked < 3:
            raise StageBusy("statistics already runs")
        os.kill(os.getpid(), signal.SIGTERM)

    totals = ingestion(tmp_path, graph, project).run(follow=True)
    assert (num_asked, totals.events) == (3, 0)


class Signalled(GraphOracle):
    """A graph during whose commits a signal comes."""

    def apply(self, batch: Batch) -> Commit:
        os.kill(os.getpid(), signal.SIGINT)
        return super().apply(batch)


def test_a_signal_ends_a_run_behind_the_batch_that_it_hit(tmp_path: Path) -> None:
    graph, before = Signalled(), signal.getsignal(signal.SIGINT)  # a shell's background ignores it
    with pytest.raises(Interrupted, match=r"2 events.*run the same command again"):
        ingestion(tmp_path, graph, lambda check: None).run()
    assert graph.counts().follows == 2
    assert signal.getsignal(signal.SIGINT) is before


def test_changes_are_retired_when_there_are_too_many(tmp_path: Path) -> None:
    graph = GraphOracle()
    run = ingestion(tmp_path, graph, lambda check: None)
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


def test_a_signal_ends_a_long_projection_between_two_pages(tmp_path: Path) -> None:
    pages: list[int] = []

    def project(check: Callable[[], None]) -> None:
        for page in range(100):
            check()
            pages.append(page)
            if page == 2:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(0.01)

    ingestion(tmp_path, GraphOracle(), project).run(follow=True)
    assert pages == [0, 1, 2]


def test_a_signal_that_comes_into_the_last_work_of_a_run_interrupts_nothing(tmp_path: Path) -> None:
    def project(check: Callable[[], None]) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)

    assert ingestion(tmp_path, GraphOracle(), project).run().events == 6
