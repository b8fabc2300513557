"""Staleness: an upper bound on the age of the oldest change that served features do not reflect."""

import logging
import time
from collections.abc import Callable, Mapping
from threading import Lock

from foundation.watermark import Watermark
from graphdb.errors import GraphError
from graphdb.store import GraphStore, Head

logger = logging.getLogger(__name__)

MICROSECONDS = 1_000_000


def staleness_seconds(watermark: Watermark, head: tuple[str, Head] | None, now: int) -> float:
    """Bound the age of the oldest change that a stage has not projected.

    It is 0 when the stage has reached the graph's head. Otherwise, and where the head (graph id
    and Head) is unknown, it is the time since the commit that the stage has projected last.
    `now` is in microseconds.
    """
    if head is not None:
        graph_id, newest = head
        if graph_id == watermark.graph_id and watermark.version >= newest.version:
            return 0.0
    return max(0.0, round((now - watermark.commit_time) / MICROSECONDS, 3))


def in_words(staleness: Mapping[str, float | None]) -> str:
    """Staleness by stage, as text."""
    return ", ".join(f"{stage} {_span(seconds)}" for stage, seconds in staleness.items())


def _span(seconds: float | None) -> str:
    if seconds is None:
        return "never computed"
    if seconds == 0:
        return "up to date"
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"up to {seconds / size:,.0f} {unit} behind"
    return f"up to {seconds:.1f} s behind"


class GraphHead:
    """The graph's id and newest version, read at most once in `keep_seconds`.

    When the graph was replaced by another, that one is opened.
    When the graph cannot be read, features are served all the same: the head is then unknown, one
    warning is logged, and staleness is the time since the stage's last commit.
    """

    def __init__(
        self,
        open_graph: Callable[[], GraphStore],
        *,
        keep_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open = open_graph
        self._keep_seconds = keep_seconds
        self._clock = clock
        self._graph: GraphStore | None = None
        self._read_at = float("-inf")
        self._value: tuple[str, Head] | None = None
        self._warned = False
        self._lock = Lock()

    def __call__(self) -> tuple[str, Head] | None:
        """The head as it was at most `keep_seconds` ago, None when it cannot be read."""
        with self._lock:
            if self._clock() - self._read_at >= self._keep_seconds:
                self._value = self._read()
                self._read_at = self._clock()
            return self._value

    def close(self) -> None:
        """Release the graph."""
        with self._lock:
            if self._graph is not None:
                self._graph.close()
                self._graph = None

    def _reopen(self) -> None:
        if self._graph is not None:
            graph, self._graph = self._graph, None
            graph.close()
        self._graph = self._open()

    def _read(self) -> tuple[str, Head] | None:
        try:
            if self._graph is None or self._graph.is_replaced():
                self._reopen()
            assert self._graph is not None
            head = self._graph.graph_id, self._graph.head()
        except GraphError as error:
            if not self._warned:
                logger.warning("staleness is an upper bound while the graph is unknown: %s", error)
            self._warned = True
            return None
        self._warned = False
        return head
