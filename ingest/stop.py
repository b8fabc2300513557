"""Ending on a signal between two pieces of work, never in the midst of one."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

POLL_SECONDS = 0.1
"""How long who waits may take to notice a signal."""


class StopRequest:
    """Set by SIGINT and SIGTERM; a second signal raises KeyboardInterrupt wherever it comes.

    The first one is only noted, and raised by `check`, where nothing is cut in two: an exception
    out of nowhere may leave a lock held for ever, or a driver in the middle of an answer.
    """

    def __init__(self) -> None:
        self.requested = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handle both signals: one ends the block quietly. Restores the handlers afterwards."""
        signals = (signal.SIGINT, signal.SIGTERM)
        former = [signal.signal(number, self._handle) for number in signals]
        try:
            yield
        except KeyboardInterrupt:
            self.requested = True
        finally:
            for number, handler in zip(signals, former, strict=True):
                signal.signal(number, handler)

    def check(self) -> None:
        """Raise KeyboardInterrupt when a signal has come."""
        if self.requested:
            raise KeyboardInterrupt

    def sleep(self, seconds: float) -> None:
        """Wait; a signal that has come or comes ends the waiting, by KeyboardInterrupt."""
        end = time.monotonic() + seconds
        while True:
            self.check()
            left = end - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, POLL_SECONDS))

    def _handle(self, number: int, frame: FrameType | None) -> None:
        again = self.requested
        self.requested = True
        if again:
            raise KeyboardInterrupt
