"""A turn of a stream: processes that begin together, and the rate at which they commit.

Each process makes its connections, says that it is ready and waits; so neither its start nor the
joining of a group is timed. Then it tells of each commit, on stdout:

    ready
    began SECONDS             of the clock that all processes of a machine share
    batch EVENTS SECONDS      when the commit was acknowledged
"""

import os
import subprocess
import sys
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

Command = Sequence[str]
SILENCE_SECONDS = 120.0


def begin() -> None:
    """In the process: say that all is ready, and return when the turn begins."""
    print("ready", flush=True)
    if not sys.stdin.readline():
        sys.exit("the benchmark has ended")
    Thread(target=_end_with_parent, daemon=True).start()
    print(f"began {time.monotonic()}", flush=True)


def committed(num_events: int) -> None:
    """In the process: tell that so many events more have been committed."""
    print(f"batch {num_events} {time.monotonic()}", flush=True)


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


@dataclass(slots=True, kw_only=True)
class Timeline:
    """When a turn began, and each of its commits: how many events, and when."""

    began: float = 0.0
    commits: list[tuple[int, float]] = field(default_factory=list)

    @property
    def num_events(self) -> int:
        """How many events have been committed."""
        return sum(num for num, _ in self.commits)

    @property
    def rate(self) -> float:
        """Events a second, from the beginning to the last commit."""
        return self.rate_between(0, self.num_events)

    def at(self, num_events: int) -> float:
        """When so many events had been committed."""
        total = 0
        for number, seconds in self.commits:
            total += number
            if total >= num_events:
                return seconds
        raise ValueError(f"{num_events} events were never committed, only {total}")

    def rate_between(self, first: int, last: int) -> float:
        """Events a second, from the commit that reached `first` events to that of `last`."""
        edges = [(0, self.began), *self.commits]
        totals = list(accumulate(number for number, _ in edges))
        start, stop = bisect_left(totals, first), bisect_left(totals, last)
        return (totals[stop] - totals[start]) / (edges[stop][1] - edges[start][1])


class Turn:
    """Processes of one turn: start them, let them begin, hear of their commits, end them."""

    def __init__(self, commands: Sequence[Command], environ: Mapping[str, str], log: Path) -> None:
        self.timeline = Timeline()
        self._said: SimpleQueue[str] = SimpleQueue()
        self._log = log
        with log.open("wb") as stderr:
            self._processes = [
                subprocess.Popen(
                    [sys.executable, "-m", *command],
                    env={**os.environ, **environ},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    text=True,
                )
                for command in commands
            ]
        for process in self._processes:
            Thread(target=self._listen, args=(process,), daemon=True).start()

    def go(self) -> None:
        """Let all begin, which must be ready."""
        for process in self._processes:
            assert process.stdin is not None
            print("go", file=process.stdin, flush=True)
        self.timeline.began = min(float(self._hear("began")[0]) for _ in self._processes)

    def wait_until_ready(self) -> None:
        """Return when each process has said so."""
        for _ in self._processes:
            self._hear("ready")

    def hear(self, num_events: int, silence_seconds: float = SILENCE_SECONDS) -> Timeline:
        """Wait until so many events have been committed since the beginning."""
        while self.timeline.num_events < num_events:
            number, seconds = self._hear("batch", silence_seconds)
            self.timeline.commits.append((int(number), float(seconds)))
        return self.timeline

    def end(self) -> None:
        """Ask those that still run to end, as a person would, and wait for them."""
        for process in self._processes:
            process.terminate()  # before its stdin ends, which would end it at once
        for process in self._processes:
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _hear(self, word: str, silence_seconds: float = SILENCE_SECONDS) -> list[str]:
        end = time.monotonic() + silence_seconds
        while time.monotonic() < end:
            if not self._said.empty():
                first, *rest = self._said.get().split()
                if first == "ended":
                    break
                if first == word:
                    return rest
            else:
                time.sleep(0.01)
        raise RuntimeError(f"a process has not said {word!r}: {self._log.read_text()[-3000:]}")

    def _listen(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._said.put(line)
        if process.wait() != 0:
            self._said.put("ended")


@contextmanager
def turn(commands: Sequence[Command], environ: Mapping[str, str], log: Path) -> Iterator[Turn]:
    """Processes that end with the block."""
    running = Turn(commands, environ, log)
    try:
        yield running
    finally:
        running.end()


def timed(
    commands: Sequence[Command],
    environ: Mapping[str, str],
    log: Path,
    *,
    num_events: int,
    before: Callable[[], None] | None = None,
) -> Timeline:
    """One whole turn; `before` is called when all are ready."""
    with turn(commands, environ, log) as running:
        running.wait_until_ready()
        if before is not None:
            before()
        running.go()
        return running.hear(num_events)
