"""Progress on stderr: a progress bar on a terminal, else one line a step."""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from foundation.stop import StopRequest
from training.engine.step_log import LossTail, losses_of

POLL_SECONDS = 0.5


class Reporter(Protocol):
    """Receives the progress of a run, and ends the run where it is asked to stop."""

    stop: StopRequest

    def say(self, message: str) -> None:
        """Report one message."""

    def counting(self, what: str, done: int, total: int) -> None:
        """Report that a step is at `done` of `total`. Raises KeyboardInterrupt after a signal."""

    def following(self, what: str, losses: Path, num_steps: int) -> AbstractContextManager[None]:
        """While entered, report each group of steps that is appended to the log of losses."""


class ConsoleReporter:
    """Prints progress to a terminal or a log file."""

    def __init__(self, console: Console | None = None, *, stop: StopRequest | None = None) -> None:
        self.stop = StopRequest() if stop is None else stop
        self.console = Console(stderr=True, highlight=False) if console is None else console
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def say(self, message: str) -> None:
        """Print one line."""
        self.console.print(message, markup=False, soft_wrap=True)

    def counting(self, what: str, done: int, total: int, note: str = "") -> None:
        """Move the progress bar of a step. Raises KeyboardInterrupt after a signal."""
        self.stop.check()
        self._move(what, done, total, note)

    def _move(self, what: str, done: int, total: int, note: str = "") -> None:
        """Move a bar; a complete one is removed."""
        if what not in self._tasks:
            self._tasks[what] = self._bar.add_task(what, total=total, note=note)
        self._bar.update(self._tasks[what], completed=done, total=total, note=note)
        if done >= total:
            self._bar.remove_task(self._tasks.pop(what))

    @contextmanager
    def following(self, what: str, losses: Path, num_steps: int) -> Iterator[None]:
        """Read the log twice a second in a thread."""
        stop = threading.Event()
        thread = threading.Thread(
            target=self._follow, args=(what, losses, num_steps, stop), daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _follow(self, what: str, losses: Path, num_steps: int, stop: threading.Event) -> None:
        next_step, tail = 0, LossTail(losses)
        while True:
            ending = stop.wait(POLL_SECONDS)
            group = [line for line in tail.new() if line["step"] >= next_step]
            if group:
                next_step = group[-1]["step"] + 1
                summary = mean_losses(group)
                if self.console.is_terminal:
                    self._move(what, next_step, num_steps, summary)
                else:
                    self.say(f"{what}: step {next_step}/{num_steps}  {summary}")
            if ending:
                return


def mean_losses(group: list[dict[str, Any]]) -> str:
    """The phase of the newest step and the mean of each of its losses over the group."""
    phase = group[-1]["phase"]
    same = [losses_of(line) for line in group if line["phase"] == phase]
    means = [
        f"{name.replace('_', ' ')} {sum(losses[name] for losses in same) / len(same):.3f}"
        for name in same[-1]
    ]
    return f"{phase}: {'  '.join(means)}"
