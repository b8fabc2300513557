"""Ending on a signal between two pieces of work, never in the midst of one."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from foundation.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM)
POLL_SECONDS = 0.1
"""How long who waits may take to notice a signal."""


class StopRequest:
    """Set by SIGINT and SIGTERM; a second signal raises KeyboardInterrupt wherever it comes.

    The first one is only noted, and raised by `check`, where nothing is cut in two: an exception
    out of nowhere may leave a lock held for ever, or a driver in the middle of an answer.
    """

    def __init__(self) -> None:
        self.number: signal.Signals | None = None
        self._is_listening = False
        self._is_at_once = False

    @property
    def requested(self) -> bool:
        """Whether a signal has come."""
        return self.number is not None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handle both signals: one ends the block quietly. Restores the handlers afterwards."""
        former = [signal.getsignal(number) for number in SIGNALS]
        self._is_listening = True
        self.handle()
        try:
            yield
        except KeyboardInterrupt:
            self.note(signal.SIGINT)
        finally:
            self._is_listening = False
            for number, handler in zip(SIGNALS, former, strict=True):
                signal.signal(number, handler)

    def handle(self) -> None:
        """Handle both signals again after a library has installed handlers of its own."""
        if self._is_listening:
            for number in SIGNALS:
                signal.signal(number, self._handle)

    def note(self, number: signal.Signals) -> None:
        """Note a signal that came by another way than the handlers; the first one counts."""
        if self.number is None:
            self.number = number

    def check(self) -> None:
        """Raise KeyboardInterrupt when a signal has come."""
        if self.requested:
            raise KeyboardInterrupt

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Let the first signal raise KeyboardInterrupt at once in a block that may be cut anywhere:
        it only waits or computes."""
        self.handle()
        outer, self._is_at_once = self._is_at_once, True
        try:
            self.check()
            yield
        finally:
            self._is_at_once = outer
        self.check()

    def sleep(self, seconds: float) -> None:
        """Wait; a signal that has come or comes ends the waiting, by KeyboardInterrupt."""
        end = time.monotonic() + seconds
        while True:
            self.check()
            left = end - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, POLL_SECONDS))

    def interrupted(self, remedy: str) -> Interrupted:
        """The error of a command that the signal ended; its exit status is 128 and the signal."""
        number = self.number or signal.SIGINT
        return Interrupted(f"stopped by {number.name}: {remedy}", exit_status=128 + number)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        again = self.requested
        self.note(signal.Signals(number))
        if again or self._is_at_once:
            raise KeyboardInterrupt
