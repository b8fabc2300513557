"""From a source to the graph, batch by batch, exactly once."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path

from graphdb.errors import CommitUnknown, PositionConflict
from graphdb.store import GraphStore, Prepares
from ingest.dead_letters.dead_letter import DeadLetter, DeadLetters, Payload, rejected
from ingest.dead_letters.settling import Settling
from ingest.errors import BrokerUnreachable, DeadLettersUnwritable, PartitionsMoved
from ingest.events.decoding import Decoded, decode
from ingest.events.labels import LabelDecoder
from ingest.sources.read_ahead import Decode, EndOfSource, ReadAhead, ReadBatch, unprepared
from ingest.sources.source import Extent, Records, SharedSource, Source

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchReport:
    """What became of the events of one batch, and the graph version that they are part of."""

    num_events: int
    num_applied: int
    num_superseded: int
    num_dead_letters: int
    version: int


class Pipeline:
    """Streams a source into a graph. One batch is, in this order:

    1. read from the source, decoded and checked, where an event at fault costs nothing but itself,
       and prepared for the graph; this runs ahead in a thread of its own;
    2. dead letters kept for good;
    3. facts and positions committed in one transaction;
    4. dead letters settled whose positions were read again without rejection.

    A crash before 3 repeats the batch from 1, one after 3 goes on behind it. When the stored
    positions are not the expected ones, when the answer to a commit is lost, or when other
    partitions are to be read, all that was read ahead is dropped and reading goes on from the
    stored positions. Paths of images start in `media_root`, by default in the folder of the file
    that names them. Without `keeps_positions` the whole source is read each time, for events that
    may be repeated.
    """

    def __init__(
        self,
        source: Source,
        graph: GraphStore,
        dead_letters: DeadLetters,
        *,
        batch_size: int,
        decode: Decode = decode,
        keeps_positions: bool = True,
        media_root: Path | None = None,
    ) -> None:
        if isinstance(source, SharedSource):
            source.join(graph.graph_id)
        prepare = graph.prepare if isinstance(graph, Prepares) else unprepared
        self._ahead = ReadAhead(source, decode, batch_size, prepare=prepare, media_root=media_root)
        self._graph = graph
        self._dead_letters = dead_letters
        self._settling = Settling(dead_letters)
        self._labels_time = decode.time if isinstance(decode, LabelDecoder) else None
        self._keeps_positions = keeps_positions
        self._is_lost = True
        self.extent = Extent(done=0, total=0)
        """How far reading has come with what was read last."""
        self.warnings: list[str] = []
        """What a person should know when the end was reached."""

    def resume(self) -> None:
        """Go to the positions that the graph has stored."""
        self._ahead.seek(self._graph.positions() if self._keeps_positions else [])
        self._settling.look()
        self._is_lost = False

    def read(self, check: Callable[[], None] = lambda: None) -> ReadBatch | None:
        """The next batch; None when there is nothing to read for now.

        `check` is called now and then while it waits, and may raise. Raises SourceChanged;
        GraphUnreachable and BrokerUnreachable, after which it may be called again.
        """
        while True:
            if self._is_lost:
                self.resume()
            try:
                found = self._ahead.take(check)
            except PartitionsMoved as moved:
                logger.info("dropped what was read ahead: %s", moved)
                self._is_lost = True
                continue
            self.extent = found.extent
            if isinstance(found, EndOfSource):
                self._settling.settle()
                self.warnings = found.warnings
                return None
            return found

    def commit(self, batch: ReadBatch) -> BatchReport | None:
        """Keep the dead letters and apply the facts; None when the batch was dropped instead.

        Raises GraphUnreachable and BrokerUnreachable, after which the same batch may be committed
        again: nothing of it is skipped or applied twice.
        """
        started = time.perf_counter()
        self._settling.settle()
        letters = self._letters_of(batch)
        if not batch.dead_letters_kept:
            self._dead_letters.append(letters)
            batch.dead_letters_kept = True
        facts = batch.facts if self._keeps_positions else replace(batch.facts, moves=())
        try:
            commit = self._graph.apply(facts)
        except (PositionConflict, CommitUnknown) as conflict:
            logger.warning("dropped a batch and read the positions again: %s", conflict)
            self._is_lost = True
            return None
        report = BatchReport(
            num_events=sum(map(len, batch.runs)),
            num_applied=commit.num_applied,
            num_superseded=commit.num_superseded,
            num_dead_letters=len(letters),
            version=commit.version,
        )
        self._settling.committed(batch.runs, letters)
        reached = [move.next for move in facts.moves]
        self._ahead.committed(reached)
        seconds = time.perf_counter() - started
        logger.info("%s in %.3f s, up to %s", report, seconds, reached)
        return report

    def step(self) -> BatchReport | None:
        """Read and commit one batch; None when there is nothing to read for now."""
        while (batch := self.read()) is not None:
            report = self.commit(batch)
            if report is not None:
                return report
        return None

    def close(self) -> None:
        """End reading ahead; source and graph stay open."""
        self._ahead.close()
        try:
            self._settling.settle()
        except (BrokerUnreachable, DeadLettersUnwritable) as error:
            logger.warning("dead letters that are settled stay: %s", error)

    def _letters_of(self, batch: ReadBatch) -> list[DeadLetter]:
        rejections = _rejected_events(batch.runs, batch.decoded, self._labels_time)
        letters = [*rejections, *_unreadable_records(batch.runs, self._labels_time)]
        return sorted(letters, key=attrgetter("position"))


def _rejected_events(
    runs: list[Records], decoded: Decoded, labels_time: str | None
) -> list[DeadLetter]:
    letters: list[DeadLetter] = []
    reasons = dict(decoded.rejected)
    if not reasons:
        return letters
    first = 0
    for run in runs:
        indices = range(first, first + len(run.lines))
        first += len(run.lines)
        letters.extend(
            rejected(
                reasons[index],
                run.move.next.source,
                run.move.next.partition,
                run.offsets[index - indices.start],
                Payload.of(run.lines[index - indices.start]),
                key=run.keys[index - indices.start] if run.keys else None,
                labels_time=labels_time,
            )
            for index in indices
            if index in reasons
        )
    return letters


def _unreadable_records(runs: list[Records], labels_time: str | None) -> list[DeadLetter]:
    return [
        rejected(
            record.reason,
            run.move.next.source,
            run.move.next.partition,
            record.offset,
            record.payload,
            key=record.key,
            labels_time=labels_time,
        )
        for run in runs
        for record in run.unreadable
    ]
