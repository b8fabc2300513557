"""A stage that follows the change feed: what all such stages have in common.

A stage derives something from the graph and may do so again at any time. One pass is, in this
order:

1. the head is read;
2. then which keys changed up to it;
3. then the projection derives anew what hangs on these keys, from their content as it is now, and
   writes it under the commit time of the head that was read first;
4. and only then the watermark moves.

Killed anywhere, a stage does the same again. Where the feed does not reach back, is another
graph's, or ends before the watermark, everything is derived anew instead.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from foundation.outage import Outage
from foundation.stage_run import stage_run
from foundation.watermark import Watermark
from graphdb.errors import ChangesTrimmed, GraphUnreachable, StageBusy
from graphdb.stage import StageLock
from graphdb.store import Change, GraphStore, Head

FROM_SCRATCH = -1
SECONDS_BETWEEN_TRIES = 1.0
"""How often a stage that another process runs is asked for."""

Progress = Callable[[int, int], None]
"""Is called now and then with the number of keys done and of all keys; ends the pass by raising."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """One pass: the head that was read first, and the version that it starts from.

    `since` is FROM_SCRATCH where everything is derived anew.
    """

    graph_id: str
    since: int
    head: Head
    progress: Progress

    @property
    def watermark(self) -> Watermark:
        """How far the stage is when this pass is done."""
        return Watermark(
            graph_id=self.graph_id, version=self.head.version, commit_time=self.head.commit_time
        )

    def pages(self, keys: Sequence[str], size: int) -> Iterator[Sequence[str]]:
        """The keys, so many at a time; progress is told after each page."""
        for start in range(0, len(keys), size):
            page = keys[start : start + size]
            yield page
            self.progress(start + len(page), len(keys))


@dataclass(frozen=True, slots=True, kw_only=True)
class PassReport:
    """A pass that is done: how far the stage is now, how many keys it took, and how long."""

    watermark: Watermark
    num_keys: int
    rebuilt: bool
    seconds: float


class Projection(Protocol):
    """What a stage derives from the graph, and where it keeps its watermark.

    All of it may be repeated: a pass that did not come to its end is done again.
    """

    def watermark(self) -> Watermark | None:
        """How far the stage has come, read where its results are; None before its first run."""

    def set_watermark(self, watermark: Watermark) -> None:
        """Record how far the stage has come, beside its results and after them."""

    def keys(self, change: Change) -> Iterable[str]:
        """Keys of what a commit may have changed in the results."""

    def project(self, keys: Sequence[str], step: Pass) -> None:
        """Derive anew what hangs on these keys (ascending), from the graph as it is now.

        What left the graph leaves the results. Nothing newer than the head of the pass is
        overwritten.
        """

    def rebuild(self, step: Pass) -> int:
        """Derive everything anew, drop all else, and return the number of keys."""

    def leave(self) -> None:
        """Close what only who holds the stage may write: another process may run it next."""


Observer = Callable[[PassReport], None]
"""Is called after each pass, for metrics."""


class FeedConsumer:
    """Runs a projection; as a context manager it holds the stage's lock, else for each run.

    Running or entering raises StageBusy when another process runs the stage on this home.
    `passing` are the errors of the projection's own servers that pass, beside GraphUnreachable.
    """

    def __init__(
        self,
        stage: str,
        graph: GraphStore,
        projection: Projection,
        *,
        home: Path,
        passing: tuple[type[Exception], ...] = (),
        observer: Observer = lambda report: None,
    ) -> None:
        self.stage = stage
        self.passing: tuple[type[Exception], ...] = (GraphUnreachable, *passing)
        self._graph = graph
        self._projection = projection
        self._observer = observer
        self._home = home
        self._held = ExitStack()
        self._entered = False

    def __enter__(self) -> Self:
        with ExitStack() as held:
            held.enter_context(StageLock(self._home, self.stage))
            held.enter_context(stage_run(self._home, self.stage))
            self._held = held.pop_all()
        self._entered = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._entered = False
        try:
            self._projection.leave()
        finally:
            self._held.__exit__(kind, error, traceback)

    def catch_up(self, progress: Progress | None = None) -> list[PassReport]:
        """Project up to the head as it is now, and once more what was committed meanwhile.

        The second pass drops what left the graph while the first one wrote.
        """
        with nullcontext() if self._entered else self:
            first = self.advance(progress)
            second = self.advance(progress) if first is not None else None
        return [report for report in (first, second) if report is not None]

    def follow(
        self,
        *,
        interval_seconds: float,
        sleep: Callable[[float], None],
        note: Callable[[str], None],
        progress: Progress | None = None,
    ) -> None:
        """Make a pass every few seconds, until `sleep` or `progress` ends it by raising.

        While another process runs the stage, or a server does not answer, it waits and tries
        again; what a person should know of that is noted.
        """
        outage = Outage(note, sleep)
        with nullcontext() if self._entered else self._turn(sleep, note):
            while True:
                started = time.monotonic()
                outage.retry(lambda: self.advance(progress), self.passing)
                sleep(max(0.0, started + interval_seconds - time.monotonic()))

    def advance(self, progress: Progress | None = None) -> PassReport | None:
        """One pass over what is not projected yet; None when there was nothing.

        The caller holds the stage's lock.
        """
        started = time.monotonic()
        progress = _unheard if progress is None else progress
        mark, head, graph_id = (
            self._projection.watermark(),
            self._graph.head(),
            self._graph.graph_id,
        )
        if mark is None and head.version == 0:
            return None
        if mark is not None and (mark.graph_id, mark.version) == (graph_id, head.version):
            return None
        keys = self._changed(mark, head, progress)
        since = FROM_SCRATCH if keys is None or mark is None else mark.version
        step = Pass(graph_id=graph_id, since=since, head=head, progress=progress)
        if keys is None:
            num_keys = self._projection.rebuild(step)
        else:
            self._projection.project(keys, step)
            num_keys = len(keys)
        self._projection.set_watermark(step.watermark)
        return self._reported(step, num_keys, time.monotonic() - started)

    def _changed(self, mark: Watermark | None, head: Head, progress: Progress) -> list[str] | None:
        """Keys that may have changed up to the head, ascending; None when the feed cannot say."""
        if mark is None or mark.graph_id != self._graph.graph_id or mark.version > head.version:
            return None
        keys: set[str] = set()
        try:
            for change in self._graph.changes(mark.version):
                if change.version > head.version:
                    break
                keys.update(self._projection.keys(change))
                progress(0, len(keys))
        except ChangesTrimmed:
            return None
        return sorted(keys)

    def _reported(self, step: Pass, num_keys: int, seconds: float) -> PassReport:
        report = PassReport(
            watermark=step.watermark,
            num_keys=num_keys,
            rebuilt=step.since == FROM_SCRATCH,
            seconds=seconds,
        )
        logger.info("%s: %s", self.stage, report)
        self._observer(report)
        return report

    @contextmanager
    def _turn(self, sleep: Callable[[float], None], note: Callable[[str], None]) -> Iterator[None]:
        """Hold the stage's lock, after waiting for a process that holds it."""
        is_told = False
        while not self._entered:
            try:
                self.__enter__()
            except StageBusy as busy:
                if not is_told:
                    note(f"{self.stage}: left to another process ({busy})")
                is_told = True
                sleep(SECONDS_BETWEEN_TRIES)
        try:
            yield
        finally:
            self.__exit__(None, None, None)


def _unheard(num_done: int, num_keys: int) -> None:
    """Nobody listens."""
