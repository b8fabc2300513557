"""The real command in a process of its own, with its log, and signals to it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from graphdb.errors import GraphUnreachable
from tests.ingest.conftest import REPOSITORY
from tests.servers.server import die_with_parent

TERMINATE_SECONDS = 30.0
POLL_SECONDS = 0.2


class Worker:
    """`mmga ingest --follow` with this environment, until it is killed or terminated."""

    def __init__(self, environ: Mapping[str, str], log: Path, *arguments: str) -> None:
        self._log = log
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mmga", "ingest", "--follow", *arguments],
                cwd=REPOSITORY,
                env={**clean_environ(), "PYTHONFAULTHANDLER": "1", **environ},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                preexec_fn=die_with_parent,
            )

    @property
    def said(self) -> str:
        """All that it has printed."""
        return self._log.read_text(errors="replace")

    @property
    def is_running(self) -> bool:
        """Whether it has not ended, stopped or not."""
        return self._process.poll() is None

    @property
    def process_id(self) -> int:
        """Of the process, whose children are its stages."""
        return self._process.pid

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        self._process.kill()

    def stop(self) -> None:
        """Let it stand still (SIGSTOP)."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on (SIGCONT)."""
        self._process.send_signal(signal.SIGCONT)

    def wait(self) -> int:
        """Its exit status, when it has ended."""
        return self._process.wait(TERMINATE_SECONDS)

    def terminate(self) -> None:
        """End it in good order (SIGTERM); fails when it ends in another one, or not at all."""
        assert self.is_running, self.said
        self._process.terminate()
        try:
            assert self.wait() == 0, self.said
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGABRT)  # its threads tell where they are
            self._process.wait()
            raise AssertionError(f"did not end when told: {self.said[-6000:]}") from None
        assert "Traceback" not in self.said, self.said

    def until(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        """Wait until something is so; fails when the worker ends or it takes too long."""
        wait_until(condition, seconds, self)

    def close(self) -> None:
        """See that nothing is left of it."""
        if self.is_running:
            self._process.kill()
        self._process.wait()


def wait_until(condition: Callable[[], bool], seconds: float, *workers: Worker) -> None:
    """Wait until something is so; a graph that does not answer says that it is not so yet."""
    end = time.monotonic() + seconds
    while True:
        for worker in workers:
            assert worker.is_running, f"a worker ended by itself:\n{worker.said}"
        try:
            if condition():
                return
        except GraphUnreachable:
            pass  # a server that was stopped comes back
        logs = "\n".join(worker.said for worker in workers)
        assert time.monotonic() < end, f"not so after {seconds} s; the workers said:\n{logs}"
        time.sleep(POLL_SECONDS)


def clean_environ() -> dict[str, str]:
    """The environment without settings of ours."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MMGA_")}
