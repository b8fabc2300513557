"""The statistics stage in a process of its own, started by ingest, which it ends with."""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, Pipe
from typing import Protocol

from graphdb.consumer import Observer, PassReport
from ingest.errors import StatisticsFailed
from ingest.statistics.messages import CATCH_UP, END, CaughtUp, Failed, Message, Note, Ready

WORKER = "ingest.statistics.worker"
POLL_SECONDS = 0.1
STDERR = 2
END_SECONDS = 60.0
"""How long the process may take to end between two pages before it is killed."""


class Statistics(Protocol):
    """The statistics of users, as ingest sees them."""

    def check(self) -> None:
        """Hear what the stage has to say; raise StatisticsFailed when it has ended by an error."""

    def catch_up(self, check: Callable[[], None]) -> None:
        """Wait until they are up to date, or left to another process; `check` may end that."""


class NoStatistics:
    """There are none to project."""

    def check(self) -> None:
        """See Statistics."""

    def catch_up(self, check: Callable[[], None]) -> None:
        """See Statistics."""


class StatisticsProcess:
    """`Statistics` of a running process."""

    def __init__(
        self,
        process: "subprocess.Popen[bytes]",
        connection: Connection,
        note: Callable[[str], None],
        observer: Observer,
    ) -> None:
        self._process = process
        self._connection = connection
        self._note = note
        self._observer = observer

    def check(self) -> None:
        """See Statistics."""
        while self._connection.poll():
            self._hear()

    def catch_up(self, check: Callable[[], None]) -> None:
        """See Statistics."""
        try:
            self._connection.send(CATCH_UP)
        except OSError:
            self._hear()  # it has said why it ended
        self._wait_for(CaughtUp, check)

    def wait_until_ready(self) -> None:
        """Return when the stage has opened all that it needs. Raises StatisticsFailed."""
        self._wait_for(Ready, lambda: None)

    def close(self) -> None:
        """Let the process end between two pages, hear its last words, and wait for it."""
        latest = time.monotonic() + END_SECONDS
        try:
            with suppress(OSError, StatisticsFailed):
                self._connection.send(END)
                while self._connection.poll(max(0.0, latest - time.monotonic())):
                    self._hear()
        finally:
            self._process.kill()
            self._process.wait()

    def _wait_for(self, kind: type[Message], check: Callable[[], None]) -> None:
        while True:
            check()
            if self._connection.poll(POLL_SECONDS) and isinstance(self._hear(), kind):
                return

    def _hear(self) -> Message:
        try:
            message: Message = self._connection.recv()
        except (EOFError, OSError):
            status = self._process.wait(END_SECONDS)
            cause = f"signal {-status}" if status < 0 else f"exit status {status}"
            raise StatisticsFailed(
                f"the process of the statistics ended ({cause}): run the same command again"
            ) from None
        match message:
            case Note():
                self._note(message.text)
            case PassReport():
                self._observer(message)
            case Failed():
                error = StatisticsFailed(message.error)
                error.add_note(message.traceback)
                raise error
        return message


@contextmanager
def statistics_process(
    *,
    note: Callable[[str], None],
    follow: bool = False,
    observer: Observer = lambda report: None,
) -> Iterator[StatisticsProcess]:
    """The process, ready, with the environment of this one; it ends with the block.

    With `follow` it projects by itself, else when it is asked to. The graph must be there.
    """
    ours, theirs = Pipe()
    with ours:
        with theirs:
            process = launch(theirs, follow=follow)
        running = StatisticsProcess(process, ours, note, observer)
        try:
            running.wait_until_ready()
            yield running
        finally:
            running.close()


def launch(connection: Connection, *, follow: bool) -> "subprocess.Popen[bytes]":
    """Start the process with its end of the pipe; it finds our packages where we did."""
    words = [str(connection.fileno()), str(os.getpid()), "follow" if follow else "once"]
    if logging.getLogger().isEnabledFor(logging.DEBUG):
        words.append("debug")
    return subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", WORKER, *words],
        stdin=subprocess.DEVNULL,
        stdout=STDERR,  # ours may be read as JSON
        pass_fds=[connection.fileno()],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
