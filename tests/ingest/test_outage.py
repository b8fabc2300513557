"""Servers that do not answer: what was at hand is done when they do, and nothing is skipped."""

import os
import signal
from pathlib import Path

import pytest

from foundation import outage
from foundation.errors import Interrupted
from graphdb.errors import CommitUnknown, GraphUnreachable
from graphdb.facts import Batch, Position
from graphdb.store import Commit
from ingest.dead_letters.dead_letter import DeadLetter
from ingest.dead_letters.file import DeadLetterFile
from ingest.errors import BrokerUnreachable
from ingest.ingestion import Ingestion
from ingest.pipeline import Pipeline
from ingest.progress import Totals
from ingest.settings import IngestSettings
from ingest.sources.files import FileSource
from ingest.sources.source import Extent
from ingest.statistics.process import NoStatistics
from tests.graphdb.oracle import GraphOracle
from tests.ingest.made import follow_lines


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage, "FIRST_WAIT_SECONDS", 0.001)


class Told:
    """Progress that remembers what a person was told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def update(self, totals: Totals, extent: Extent) -> None: ...

    def note(self, message: str) -> None:
        self.notes.append(message)

    def close(self) -> None: ...


class Outages(GraphOracle):
    """A graph that is away at its 2nd and 3rd commit, and loses the answer to its 5th."""

    commits = 0
    reads = 0

    def positions(self, source: str | None = None) -> list[Position]:
        self.reads += 1
        if self.reads == 1:
            raise GraphUnreachable("graph away")
        return super().positions(source)

    def apply(self, batch: Batch) -> Commit:
        self.commits += 1
        if self.commits in (2, 3):
            raise GraphUnreachable("graph away")
        commit = super().apply(batch)
        if self.commits == 5:
            raise CommitUnknown("no answer")
        return commit


class DeadLettersAway(DeadLetterFile):
    """Dead letters whose broker is away at first."""

    appends = 0

    def append(self, letters: list[DeadLetter]) -> None:  # type: ignore[override]
        self.appends += 1
        if self.appends == 1:
            raise BrokerUnreachable("Kafka away")
        super().append(letters)


def made(folder: Path, graph: GraphOracle, told: Told) -> Ingestion:
    events = folder / "e.jsonl"
    events.write_bytes(b"".join(text + b"\n" for text in [b"broken", *follow_lines(9)]))
    pipeline = Pipeline(
        FileSource(events, wait_seconds=0.01),
        graph,
        DeadLettersAway(folder / "dead_letters.jsonl"),
        batch_size=2,
    )
    settings = IngestSettings(home=folder)
    return Ingestion(
        settings, pipeline, progress=told, statistics=NoStatistics(), retire=lambda: None
    )


def test_the_same_batch_is_committed_when_the_servers_answer_again(tmp_path: Path) -> None:
    graph, told = Outages(), Told()
    totals = made(tmp_path, graph, told).run()
    assert graph.counts().follows == 9
    assert DeadLetterFile(tmp_path / "dead_letters.jsonl").count() == 1
    assert totals.applied == 9 - 2  # those of the commit whose answer was lost were not counted
    assert [note.partition(":")[0] for note in told.notes[::2]] == ["waiting"] * 3
    assert "graph away" in told.notes[0]
    assert "Kafka away" in told.notes[2]


class Away(GraphOracle):
    """A graph that never answers a commit, and a person who loses patience."""

    def apply(self, batch: Batch) -> Commit:
        os.kill(os.getpid(), signal.SIGINT)
        raise GraphUnreachable("graph away")


def test_a_signal_ends_the_waiting(tmp_path: Path) -> None:
    graph = Away()
    with pytest.raises(Interrupted, match="run the same command again"):
        made(tmp_path, graph, Told()).run()
    assert graph.counts().follows == 0
