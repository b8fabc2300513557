"""Ending on a signal without cutting a batch in two."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """Set by SIGINT and SIGTERM.

    Within `shield` the work goes on to its end, unless a second signal comes; elsewhere
    KeyboardInterrupt is raised at once.
    """

    def __init__(self) -> None:
        self.requested = False
        self._shielded = False

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

    @contextmanager
    def shield(self) -> Iterator[None]:
        """Finish the block before a signal takes effect."""
        self._shielded = True
        try:
            yield
        finally:
            self._shielded = False

    def sleep(self, seconds: float) -> None:
        """Wait, outside of any shield; a signal that has come or comes ends the block."""
        if self.requested:
            raise KeyboardInterrupt
        time.sleep(seconds)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        again = self.requested
        self.requested = True
        if again or not self._shielded:
            raise KeyboardInterrupt
