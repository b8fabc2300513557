"""From a source to the graph, batch by batch, exactly once."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from graphdb.errors import PositionConflict
from graphdb.store import GraphStore
from ingest.dead_letters import DeadLetter, DeadLetters, Payload, rejected
from ingest.decoding import Decoded, decode
from ingest.lines import MAX_EVENT_BYTES
from ingest.sources import Records, Source

logger = logging.getLogger(__name__)

Decode = Callable[[Sequence[bytes], int], Decoded]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchReport:
    """What became of the events of one batch."""

    num_events: int
    num_applied: int
    num_superseded: int
    num_dead_letters: int


class Pipeline:
    """Streams a source into a graph. One batch is, in this order:

    1. read from the source;
    2. decoded and checked: an event at fault costs nothing but itself;
    3. dead letters on the disk;
    4. facts and positions committed in one transaction.

    A crash before 4 repeats the batch from 1, one after 4 goes on behind it. When the stored
    positions are not the expected ones, the batch is dropped and reading goes on from those stored.
    Without `keeps_positions` the whole source is read each time, for events that may be repeated.
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
    ) -> None:
        self._source = source
        self._graph = graph
        self._dead_letters = dead_letters
        self._batch_size = batch_size
        self._decode = decode
        self._keeps_positions = keeps_positions

    def resume(self) -> None:
        """Go to the positions that the graph has stored."""
        self._source.seek(self._graph.positions() if self._keeps_positions else [])

    def step(self) -> BatchReport | None:
        """Commit the next batch; None when there is nothing to read for now."""
        while True:
            started = time.perf_counter()
            runs = self._source.read(self._batch_size)
            if not runs:
                return None
            try:
                report = self._commit(runs)
            except PositionConflict as conflict:
                logger.warning("dropped a batch and read the positions again: %s", conflict)
                self.resume()
                continue
            seconds = time.perf_counter() - started
            logger.info("%s in %.3f s, up to %s", report, seconds, [run.move.next for run in runs])
            return report

    def _commit(self, runs: list[Records]) -> BatchReport:
        lines = [line for run in runs for line in run.lines]
        decoded = self._decode(lines, time.time_ns() // 1000)
        letters = [*_rejected_events(runs, decoded), *_overlong_records(runs)]
        self._dead_letters.append(letters)
        moves = [run.move for run in runs] if self._keeps_positions else []
        commit = self._graph.apply(decoded.batch(moves))
        return BatchReport(
            num_events=len(lines) + sum(len(run.too_long) for run in runs),
            num_applied=commit.num_applied,
            num_superseded=commit.num_superseded,
            num_dead_letters=len(letters),
        )


def _rejected_events(runs: list[Records], decoded: Decoded) -> list[DeadLetter]:
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
            )
            for index in indices
            if index in reasons
        )
    return letters


def _overlong_records(runs: list[Records]) -> list[DeadLetter]:
    return [
        rejected(
            f"the event is longer than {MAX_EVENT_BYTES} bytes",
            run.move.next.source,
            run.move.next.partition,
            offset,
            payload,
        )
        for run in runs
        for offset, payload in run.too_long
    ]
