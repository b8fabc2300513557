"""Curves of a run in TensorBoard and MLflow, drawn from the log of its steps.

The process that drives the run follows the log and writes what is new. A tracker draws its file
again from the beginning of the log, or asks its server for the last step that it has, so a resumed
run leaves no gap and draws no step twice. A tracker that fails is left out with one line of
warning; it never fails the run.
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
    """Draws curves somewhere."""

    @property
    def name(self) -> str:
        """What a person calls it, without secrets."""

    def open(self) -> None:
        """Find what is there already; raises when it cannot be reached."""

    def write(self, lines: Sequence[Line]) -> None:
        """Draw these steps, but those that are drawn already."""

    def close(self, *, completed: bool) -> None:
        """Nothing more comes: training has ended, or was interrupted."""


@contextmanager
def tracked(log: Path, trackers: Sequence[Tracker], warn: Callable[[str], None]) -> Iterator[None]:
    """While entered, draw each step that appears in the log; at the end, all of them."""
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
    """Hands new lines of a log to trackers, and drops those that fail."""

    def __init__(
        self, tail: LossTail, trackers: list[Tracker], warn: Callable[[str], None]
    ) -> None:
        self.tail, self.trackers, self.warn = tail, trackers, warn

    def run(self, stop: threading.Event) -> None:
        """Follow until told to stop, then take what is left."""
        self.each(lambda tracker: tracker.open())
        ending = False
        while not ending:
            ending = stop.wait(POLL_SECONDS)
            lines = list(self.tail.new())
            if lines:
                self.each(lambda tracker, lines=lines: tracker.write(lines))  # type: ignore[misc]

    def each(self, do: Callable[[Tracker], None]) -> None:
        """Let every tracker do something; one that fails does nothing more."""
        for tracker in list(self.trackers):
            try:
                do(tracker)
            except Exception as error:  # whatever its server or disk did, training goes on
                self.trackers.remove(tracker)
                self.warn(f"{tracker.name} gets no more curves of this run ({reason(error)})")


def reason(error: Exception) -> str:
    """What an error says, on one line, without the user and password of any address in it."""
    lines = without_user_info(str(error)).splitlines()
    return ": ".join([type(error).__name__, *(line.strip()[:MAX_REASON] for line in lines[:1])])


def curves(line: Line) -> dict[str, float]:
    """The points of one step by curve, those that are not numbers left out."""
    points = {f"losses/{name}": value for name, value in losses_of(line).items()}
    for group in ("gradient_norms", "learning_rates", "held_out"):
        points |= {f"{group}/{name}": value for name, value in line.get(group, {}).items()}
    points |= {name: line[name] for name in ("staleness", "seconds") if name in line}
    if line.get("seconds"):
        points["waiting_share"] = line.get("waited_seconds", 0.0) / line["seconds"]
    return {name: float(value) for name, value in points.items() if math.isfinite(value)}
