"""A server on loopback: one that was started here, or one that somebody else runs."""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, cycle, islice
from pathlib import Path
from urllib.parse import urlsplit

START_SECONDS = 180.0
STOP_SECONDS = 60.0
PR_SET_PDEATHSIG = 1
LOOPBACK = "127.0.0.1"
SERVER_PORTS = range(20_000, 32_000)
FIRST_PORT = os.getpid() * 251 % len(SERVER_PORTS)
"""Apart from those of a process beside this one, which looks for ports at the same time."""
PORTS = cycle([*SERVER_PORTS[FIRST_PORT:], *SERVER_PORTS[:FIRST_PORT]])


class ServerMissing(Exception):
    """What is needed to run a server is not on this machine; the message names the remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """How a server is run: its command, the user that runs it, and what it needs around it."""

    command: Sequence[str]
    folder: Path
    user: str | None = None
    environ: Mapping[str, str] | None = None


class Server:
    """A running server at a URL; `ask_version` asks it for its version and fails until it answers.

    Only a server with a program can be stopped and started: it keeps its port and its data.
    """

    def __init__(
        self,
        name: str,
        url: str,
        ask_version: Callable[[str], str],
        *,
        program: Program | None = None,
    ) -> None:
        parts = urlsplit(url)
        self.name = name
        self.url = url
        self.host = parts.hostname or LOOPBACK
        self.port = parts.port or 0
        self.version = ""
        self._ask_version = ask_version
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_ours(self) -> bool:
        """Whether it was started here, and so may be stopped."""
        return self._program is not None

    @property
    def pid(self) -> int:
        """Process id of a server of ours."""
        return self._running.pid

    @property
    def log(self) -> Path:
        """What a server of ours has printed."""
        return self._ours.folder / "server.log"

    def start(self) -> "Server":
        """Start it, where it is ours, and wait until it answers."""
        if self._program is not None:
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    self._program.command,
                    cwd=self._program.folder,
                    env={**os.environ, **(self._program.environ or {})},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    user=self._program.user,
                    start_new_session=True,
                    preexec_fn=die_with_parent,
                )
        self.wait()
        return self

    def wait(self, seconds: float = START_SECONDS) -> None:
        """Wait until it answers; raises TimeoutError with the end of its log."""
        end = time.monotonic() + seconds
        while True:
            try:
                socket.create_connection((self.host, self.port), timeout=2).close()
                self.version = self._ask_version(self.url)
            except Exception as error:
                ended = self._process is not None and self._process.poll() is not None
                if ended or time.monotonic() > end:
                    raise TimeoutError(
                        f"{self.name} does not answer: {error}\n{self._tail()}"
                    ) from error
                time.sleep(0.1)
            else:
                return

    def stop(self) -> None:
        """End it in good order (SIGTERM)."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Let it stand still, connections open (SIGSTOP)."""
        os.killpg(self._running.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on (SIGCONT)."""
        os.killpg(self._running.pid, signal.SIGCONT)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)
            os.killpg(self._process.pid, signal.SIGCONT)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process = None

    @property
    def _ours(self) -> Program:
        if self._program is None:
            raise RuntimeError(f"{self.name} at {self.host}:{self.port} was not started here")
        return self._program

    @property
    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            raise RuntimeError(f"{self.name} is not running, or was not started here")
        return self._process

    def _tail(self) -> str:
        if self._program is None or not self.log.exists():
            return ""
        return self.log.read_text(errors="replace")[-3000:]


def free_port(preferred: int = 0) -> int:
    """A loopback port that nobody listens on: the preferred one if it is free.

    No port is returned twice by a process, and none is of the range that the kernel gives to
    clients: a client could hold it before its server is up.
    """
    for port in chain([preferred] if preferred else [], islice(PORTS, len(SERVER_PORTS))):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return port
    raise ServerMissing("no loopback port is free")


def die_with_parent() -> None:
    """No server outlives the tests, however they end (Linux)."""
    with contextlib.suppress(OSError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
