"""Waiting while a server does not answer, for as long as that takes."""

import time
from collections.abc import Callable
from typing import TypeVar

FIRST_WAIT_SECONDS = 0.5
MAX_WAIT_SECONDS = 10.0
SECONDS_BETWEEN_NOTES = 60.0

T = TypeVar("T")


class Outage:
    """Waits up to 10 s between two tries; notes the outage at once and then each minute."""

    def __init__(self, note: Callable[[str], None], sleep: Callable[[float], None]) -> None:
        self._note = note
        self._sleep = sleep
        self._since: float | None = None
        self._noted = 0.0
        self._wait_seconds = FIRST_WAIT_SECONDS

    def retry(self, call: Callable[[], T], passing: tuple[type[Exception], ...]) -> T:
        """Call until no error that passes is raised; `sleep` may end the waiting by raising."""
        while True:
            try:
                result = call()
            except passing as error:
                self.wait(error)
            else:
                self.end()
                return result

    def wait(self, error: Exception) -> None:
        """Wait before the next try of what has failed."""
        now = time.monotonic()
        if self._since is None:
            self._since, self._noted = now, now - SECONDS_BETWEEN_NOTES
        if now - self._noted >= SECONDS_BETWEEN_NOTES:
            self._noted = now
            passed = f" for {now - self._since:,.0f} s now" if now > self._since else ""
            self._note(f"waiting{passed}: {one_line(error)}")
        self._sleep(self._wait_seconds)
        self._wait_seconds = min(2 * self._wait_seconds, MAX_WAIT_SECONDS)

    def end(self) -> None:
        """Something succeeded."""
        if self._since is not None:
            self._note(f"going on after {time.monotonic() - self._since:,.0f} s")
            self._since = None
            self._wait_seconds = FIRST_WAIT_SECONDS


def one_line(error: Exception) -> str:
    """The message of an error without line breaks."""
    return " ".join(str(error).split())
