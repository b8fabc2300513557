"""Batches: dead letters first, then facts and positions together, again after a conflict."""

import random
from pathlib import Path

import pytest

from graphdb.errors import GraphUnavailable
from graphdb.facts import Batch, Position
from graphdb.store import Commit
from ingest.dead_letters.file import DeadLetterFile
from ingest.pipeline import BatchReport, Pipeline
from ingest.sources.files import FileSource
from tests.graphdb.oracle import GraphOracle
from tests.ingest.made import follow_lines, line


@pytest.fixture
def events(tmp_path: Path) -> Path:
    path = tmp_path / "e.jsonl"
    lines = follow_lines(10)
    lines.insert(4, b"broken")
    path.write_bytes(b"".join(text + b"\n" for text in lines))
    return path


def pipeline(events: Path, graph: GraphOracle, batch_size: int = 3) -> Pipeline:
    letters = DeadLetterFile(events.with_name("dead_letters.jsonl"))
    made = Pipeline(FileSource(events), graph, letters, batch_size=batch_size)
    made.resume()
    return made


def drain(running: Pipeline) -> list[BatchReport]:
    reports = []
    while report := running.step():
        reports.append(report)
    return reports


def test_every_event_is_applied_or_a_dead_letter(events: Path) -> None:
    graph = GraphOracle()
    reports = drain(pipeline(events, graph))
    assert [report.num_events for report in reports] == [3, 3, 3, 2]
    assert [report.num_dead_letters for report in reports] == [0, 1, 0, 0]
    assert sum(report.num_applied for report in reports) == 10
    assert graph.counts().follows == 10
    [letter] = DeadLetterFile(events.with_name("dead_letters.jsonl")).read()
    assert letter.payload.content == b"broken"
    assert letter.offset == events.read_bytes().index(b"broken")
    assert letter.source == str(events)


def test_a_second_run_finds_nothing_to_do(events: Path) -> None:
    graph = GraphOracle()
    drain(pipeline(events, graph))
    version = graph.head().version
    assert drain(pipeline(events, graph)) == []
    assert graph.head().version == version


class Rewound(GraphOracle):
    """A graph whose positions somebody else sets back before its third commit."""

    commits = 0

    def apply(self, batch: Batch) -> Commit:
        self.commits += 1
        if self.commits == 3:
            [stored] = self.positions()
            self.set_positions([Position(source=stored.source, partition=0, offset=0)])
        return super().apply(batch)


def test_after_a_conflict_reading_goes_on_from_the_stored_positions(events: Path) -> None:
    graph = Rewound()
    reports = drain(pipeline(events, graph))
    assert sum(report.num_events for report in reports) == 6 + 11
    assert graph.counts().follows == 10
    assert sum(report.num_superseded for report in reports) == 5
    letters = DeadLetterFile(events.with_name("dead_letters.jsonl"))
    assert letters.count() == 1
    assert len(letters._path.read_bytes().splitlines()) == 2


class Unwritable(GraphOracle):
    """A graph that cannot be written."""

    def apply(self, batch: Batch) -> Commit:
        raise GraphUnavailable("disk full")


def test_dead_letters_are_on_the_disk_before_the_commit(events: Path) -> None:
    graph = Unwritable()
    with pytest.raises(GraphUnavailable):
        pipeline(events, graph, batch_size=100).step()
    assert DeadLetterFile(events.with_name("dead_letters.jsonl")).count() == 1
    assert graph.positions() == []


def test_the_order_of_events_and_the_size_of_batches_do_not_matter(tmp_path: Path) -> None:
    rng = random.Random(1)
    digests = set()
    kinds = [
        line(kind, id=f"{kind}{second}", time=f"2026-01-02T00:00:0{second}Z")
        for second in range(10)
        for kind in ("follow.created", "follow.deleted", "user.deleted", "post.created")
    ]
    for batch_size in (1, 7, 100):
        rng.shuffle(kinds)
        path = tmp_path / f"{batch_size}.jsonl"
        path.write_bytes(b"".join(text + b"\n" for text in [*kinds, *kinds[:5]]))
        graph = GraphOracle()
        drain(pipeline(path, graph, batch_size))
        digests.add(graph.digest())
    assert len(digests) == 1
