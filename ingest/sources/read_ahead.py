"""Reading, decoding and preparing the next batch while the last one is being committed."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from graphdb.facts import Batch, Position
from ingest.errors import PartitionsMoved
from ingest.events.decoding import Decoded
from ingest.media_folder import media_folder
from ingest.sources.source import Extent, Records, Source

Decode = Callable[[Sequence[bytes], int, str], Decoded]
"""Called with the lines, the clock in microseconds, and the folder of the paths in them."""
Prepare = Callable[[Batch], Batch]

MAX_BATCHES_AHEAD = 2
KEEP_ALIVE_SECONDS = 1.0
POLL_SECONDS = 0.1
CLOSE_SECONDS = 10.0


@dataclass(slots=True, kw_only=True)
class ReadBatch:
    """Events that have been read and decoded, and how far reading has come with them."""

    runs: list[Records]
    decoded: Decoded
    facts: Batch
    extent: Extent
    dead_letters_kept: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EndOfSource:
    """There is nothing to read for now."""

    extent: Extent
    warnings: list[str]


Item = ReadBatch | EndOfSource | Exception


def unprepared(facts: Batch) -> Batch:
    """The batch as it is, for a graph that prepares nothing."""
    return facts


class ReadAhead:
    """A thread that owns a source and reads ahead of whoever takes its batches.

    At most two batches wait; then the source is only kept alive, which is the back-pressure. After
    anything but a batch the thread rests until it is asked again. No graph is touched here: what
    `prepare` does is a function of the batch, and where positions are needed, the taker reads them
    and calls `seek`.
    """

    def __init__(
        self,
        source: Source,
        decode: Decode,
        max_events: int,
        *,
        prepare: Prepare = unprepared,
        media_root: Path | None = None,
    ) -> None:
        self._source = source
        self._decode = decode
        self._prepare = prepare
        self._media_root = media_root
        self._max_events = max_events
        self._changed = threading.Condition()
        self._ready: deque[Item] = deque()
        self._sought: Sequence[Position] | None = None
        self._committed: list[Position] = []
        self._epoch = 0
        self._rests = False
        self._closed = False
        self._thread: threading.Thread | None = None

    def seek(self, positions: Sequence[Position]) -> None:
        """Drop all that was read and go on from these positions; the first call starts reading."""
        with self._changed:
            self._epoch += 1
            self._sought = positions
            self._ready.clear()
            self._rests = False
            self._changed.notify_all()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="read-ahead", daemon=True)
            self._thread.start()

    def take(self, check: Callable[[], None] = lambda: None) -> ReadBatch | EndOfSource:
        """The next batch, or the end for now. Raises what the source has raised.

        While it waits, `check` is called now and then; what that raises ends the waiting.
        """
        while (item := self._next(POLL_SECONDS)) is None:
            check()
        if isinstance(item, Exception):
            raise item
        return item

    def committed(self, positions: Sequence[Position]) -> None:
        """Pass on to the source what has been committed."""
        with self._changed:
            self._committed.extend(positions)

    def close(self) -> None:
        """End the thread; the source itself stays open."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)
            self._thread = None

    def _next(self, seconds: float) -> Item | None:
        with self._changed:
            if not self._ready:
                self._rests = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._ready, seconds)
            if not self._ready:
                return None
            item = self._ready.popleft()
            self._changed.notify_all()
            return item

    def _run(self) -> None:
        while True:
            with self._changed:
                if not (self._closed or self._can_work()):
                    self._changed.wait(KEEP_ALIVE_SECONDS)
                if self._closed:
                    return
                epoch, sought, committed = self._epoch, self._sought, self._committed
                self._sought, self._committed = None, []
                reads = not self._rests and len(self._ready) < MAX_BATCHES_AHEAD
            try:
                item = self._work(sought, committed, reads=reads)
            except Exception as error:
                item = error
            if item is not None:
                self._put(item, epoch)

    def _can_work(self) -> bool:
        return self._sought is not None or (
            not self._rests and len(self._ready) < MAX_BATCHES_AHEAD
        )

    def _work(
        self, sought: Sequence[Position] | None, committed: Sequence[Position], *, reads: bool
    ) -> Item | None:
        if sought is not None:
            self._source.seek(sought)
        if committed:
            self._source.committed(committed)
        if not reads:
            self._source.keep_alive()
            return None
        runs = self._source.read(self._max_events)
        if runs is None:
            return EndOfSource(extent=self._source.extent(), warnings=self._source.warnings())
        if not runs:
            return None
        decoded = self._decode_runs(runs, time.time_ns() // 1000)
        facts = self._prepare(decoded.batch([run.move for run in runs]))
        return ReadBatch(runs=runs, decoded=decoded, facts=facts, extent=self._source.extent())

    def _decode_runs(self, runs: list[Records], now: int) -> Decoded:
        """Decode consecutive runs of one folder together."""
        decoded, num_lines = None, 0
        for folder, group in groupby(runs, self._media_folder):
            lines = [line for run in group for line in run.lines]
            found = self._decode(lines, now, folder)
            if decoded is None:
                decoded = found
            else:
                decoded.extend(found, num_lines)
            num_lines += len(lines)
        return decoded or Decoded()

    def _media_folder(self, run: Records) -> str:
        return media_folder(run.move.next.source, self._media_root)

    def _put(self, item: Item, epoch: int) -> None:
        with self._changed:
            if epoch != self._epoch:
                return  # what was read before a seek is of no use
            if isinstance(item, PartitionsMoved):
                self._ready.clear()
            if not isinstance(item, ReadBatch):
                if self._rests and self._ready:
                    return  # it is waiting to be taken already
                self._rests = True
            self._ready.append(item)
            self._changed.notify_all()
