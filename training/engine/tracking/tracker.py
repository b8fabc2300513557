"""Curves of a run in TensorBoard and MLflow, drawn from the log of its steps.

The driver process of the run follows the log and writes new steps. A tracker rewrites its file from
the start of the log, or asks its server for the last step, so a resumed run has neither gaps nor
duplicates. A tracker that fails is dropped with one line of warning; it never fails the run.
"""

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from foundation.url import without_user_info
from training.engine.step_log import LossTail, losses_of

POLL_SECONDS = 2.0
MAX_REASON = 200

Line = Mapping[str, Any]


class Tracker(Protocol):
    """Writes curves to one destination."""

    @property
    def name(self) -> str:
        """Its name in messages, without secrets."""

    def open(self) -> None:
        """Find the steps that exist already; raises when the destination is unavailable."""

    def write(self, lines: Sequence[Line]) -> None:
        """Write these steps, except those that exist already."""

    def close(self, *, completed: bool) -> None:
        """Close: training has ended, or was interrupted."""


@contextmanager
def tracked(log: Path, trackers: Sequence[Tracker], warn: Callable[[str], None]) -> Iterator[None]:
    """While entered, write each step that is appended to the log; on exit, all that remain."""
    stop = threading.Event()
    follower = Follower(LossTail(log), list(trackers), warn)
    thread = threading.Thread(target=follower.run, args=(stop,), name="tracking", daemon=True)
    thread.start()
    completed = False
    try:
        yield
        completed = True
    finally:
        stop.set()
        thread.join()
        follower.each(lambda tracker: tracker.close(completed=completed))


class Follower:
    """Passes new lines of a log to trackers, and drops trackers that fail."""

    def __init__(
        self, tail: LossTail, trackers: list[Tracker], warn: Callable[[str], None]
    ) -> None:
        self.tail, self.trackers, self.warn = tail, trackers, warn

    def run(self, stop: threading.Event) -> None:
        """Follow the log until the stop event, then write the rest."""
        self.each(lambda tracker: tracker.open())
        ending = False
        while not ending:
            ending = stop.wait(POLL_SECONDS)
            lines = list(self.tail.new())
            if lines:
                self.each(lambda tracker, lines=lines: tracker.write(lines))  # type: ignore[misc]

    def each(self, do: Callable[[Tracker], None]) -> None:
        """Call a function with every tracker; drop a tracker that fails."""
        for tracker in list(self.trackers):
            try:
                do(tracker)
            except Exception as error:  # an error of its server or disk must not stop training
                self.trackers.remove(tracker)
                self.warn(f"{tracker.name} gets no more curves of this run ({reason(error)})")


def reason(error: Exception) -> str:
    """The message of an error on one line, without user and password of URLs."""
    lines = without_user_info(str(error)).splitlines()
    return ": ".join([type(error).__name__, *(line.strip()[:MAX_REASON] for line in lines[:1])])


def curves(line: Line) -> dict[str, float]:
    """The points of one step by curve, without NaN and infinite ones."""
    points = {f"losses/{name}": value for name, value in losses_of(line).items()}
    for group in ("gradient_norms", "learning_rates", "held_out"):
        points |= {f"{group}/{name}": value for name, value in line.get(group, {}).items()}
    points |= {name: line[name] for name in ("staleness", "seconds") if name in line}
    if line.get("seconds"):
        points["waiting_share"] = line.get("waited_seconds", 0.0) / line["seconds"]
    return {name: float(value) for name, value in points.items() if math.isfinite(value)}
