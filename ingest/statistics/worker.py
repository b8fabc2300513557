"""The process of the statistics: `python -m ingest.statistics.worker PIPE PARENT follow|once`.

It ends when its parent closes the pipe, between two pages of users, and at once when its parent
dies. Signals are the parent's business.
"""

import ctypes
import math
import os
import signal
import sys
import time
import traceback
from collections.abc import Mapping
from contextlib import closing, suppress
from multiprocessing.connection import Connection

from foundation.log_lines import log_to_stderr
from foundation.outage import Outage, one_line
from graphdb import open_graph
from graphdb.errors import StageBusy
from graphdb.settings import GraphSettings
from ingest.settings import IngestSettings
from ingest.statistics.consumer import StatisticsConsumer
from ingest.statistics.messages import END, CaughtUp, Failed, Message, Note, Ready
from ingest.statistics.open import open_consumer, progress_lines

PR_SET_PDEATHSIG = 1
OURS = ("featurestore", "foundation", "graphdb", "ingest")
SECONDS_BETWEEN_LINES = 10.0
BUSY_SECONDS, BUSY_POLL_SECONDS = 2.0, 0.1
"""How long the stage may be held by a process that is ending with its killed parent."""


class ParentEnded(Exception):
    """The parent wants this process to end, or has closed the pipe: nothing more is to do."""


class Parent:
    """The other end of the pipe."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def tell(self, message: Message) -> None:
        """Send a message. Raises ParentEnded."""
        try:
            self._connection.send(message)
        except OSError:
            raise ParentEnded from None

    def note(self, text: str) -> None:
        """Tell a person."""
        self.tell(Note(text=text))

    def check(self) -> None:
        """Raise ParentEnded when the parent wants this process to end."""
        self.sleep(0)

    def sleep(self, seconds: float) -> None:
        """Wait; raise ParentEnded as soon as the parent wants this process to end."""
        if self._connection.poll(seconds):
            self.hear()

    def hear(self) -> None:
        """Wait until the parent asks to catch up. Raises ParentEnded."""
        try:
            word = self._connection.recv()
        except (EOFError, OSError):
            raise ParentEnded from None
        if word == END:
            raise ParentEnded


def main(words: list[str]) -> None:
    """Run the stage for the parent, and tell it by which error it ended."""
    descriptor, parent_id, mode, *rest = words
    end_with(int(parent_id))
    log_to_stderr(debug="debug" in rest)
    with Connection(int(descriptor)) as connection, suppress(ParentEnded):
        parent = Parent(connection)
        try:
            run(parent, os.environ, follow=mode == "follow")
        except ParentEnded:
            raise
        except Exception as error:
            parent.tell(Failed(error=described(error), traceback=traceback.format_exc()))


def end_with(parent_id: int) -> None:
    """Let the kernel kill this process when its parent dies; leave signals to the parent.

    A terminal, or a service manager, sends them to both. Where the kernel is not Linux, this
    process hears between two pages that the pipe is closed.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_id:  # it died before it was asked for
        os.kill(os.getpid(), signal.SIGKILL)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def run(parent: Parent, environ: Mapping[str, str], *, follow: bool) -> None:
    """Open what the stage needs, then follow the graph, or catch up whenever that is asked for."""
    settings = IngestSettings.from_environ(environ)
    url = GraphSettings.from_environ(environ).graph_url
    with (
        closing(open_graph(url, read_only=True)) as graph,
        open_consumer(graph, environ, observer=parent.tell) as consumer,
    ):
        parent.tell(Ready())
        if follow:
            follow_graph(consumer, parent, settings.statistics_interval_seconds)
        while True:
            parent.hear()
            catch_up(consumer, parent)
            parent.tell(CaughtUp())


def follow_graph(consumer: StatisticsConsumer, parent: Parent, interval_seconds: float) -> None:
    """Keep the statistics up to date; note every few seconds how many users were written."""
    noted_at, num_noted = -math.inf, 0

    def note_written(every_seconds: float) -> None:
        nonlocal noted_at, num_noted
        num_written = consumer.projection.report.num_written
        if num_written > num_noted and time.monotonic() - noted_at >= every_seconds:
            parent.note(written(num_written - num_noted))
            noted_at, num_noted = time.monotonic(), num_written

    def sleep(seconds: float) -> None:
        note_written(SECONDS_BETWEEN_LINES)
        parent.sleep(seconds)

    try:
        consumer.follow(
            interval_seconds=interval_seconds,
            sleep=sleep,
            note=parent.note,
            progress=progress_lines(parent.note, parent.check),
        )
    finally:
        note_written(0)


def catch_up(consumer: StatisticsConsumer, parent: Parent) -> None:
    """Bring the statistics up to date, unless another process runs the stage."""
    progress = progress_lines(parent.note, parent.check)
    before = consumer.projection.report.num_written
    outage = Outage(parent.note, parent.sleep)
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            outage.retry(lambda: consumer.catch_up(progress), consumer.passing)
        except StageBusy as busy:
            if time.monotonic() >= end:
                parent.note(f"{consumer.stage}: left to another process ({busy})")
                return
            parent.sleep(BUSY_POLL_SECONDS)
        else:
            parent.note(written(consumer.projection.report.num_written - before))
            return


def written(num_users: int) -> str:
    """The line that tells how many users were written."""
    return f"statistics: {num_users:,} users written"


def described(error: Exception) -> str:
    """The message of an error on one line, with its type where it is not one of ours."""
    is_ours = type(error).__module__.partition(".")[0] in OURS
    return one_line(error) if is_ours else f"{type(error).__name__}: {one_line(error)}"


if __name__ == "__main__":
    main(sys.argv[1:])
