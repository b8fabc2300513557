"""Our services as processes of this machine, beside real servers.

A process gets the literal entrypoint, command, environment and health check of its service in
compose.yaml; the image's own come from the Dockerfile. Only what a container would see under
another name is put in its place: addresses of servers, its own ports, mount points.
"""

import ctypes
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.compose.compose_file import ROOT

HEALTHY_SECONDS = 120.0
COMMAND_SECONDS = 300.0
PR_SET_PDEATHSIG = 1
Service = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Services:
    """Those that are built from this repository, of no profile, in the order of compose.yaml.

    `addresses` are by `host:port` in the network of containers, `ports` by port in ours, `mounts`
    by volume as it stands in compose.yaml; other host paths start at `folder`.
    """

    services: Mapping[str, Service]
    addresses: Mapping[str, str]
    ports: Mapping[int, int]
    mounts: Mapping[str, Path]
    folder: Path
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def up(self) -> None:
        """Start each once the one before is healthy, or has ended where it does not last."""
        self.root.mkdir()
        for name, service in self.services.items():
            if "build" in service and "profiles" not in service:
                self.processes[name] = self._start(name, service)
                self._await(name, service)

    def run(self, name: str, command: Sequence[str], volumes: Sequence[str] = ()) -> str:
        """What the service's entrypoint prints with another command and more volumes."""
        service = self.services[name]
        service = {**service, "volumes": [*service.get("volumes", []), *volumes]}
        return self._finish([*entrypoint(service), *command], service)

    def execute(self, name: str, command: Sequence[str]) -> str:
        """What a command prints in the environment of a running service."""
        assert self.processes[name].poll() is None, self.printed(name)
        return self._finish(command, self.services[name])

    def printed(self, name: str) -> str:
        """What a service has printed."""
        return self._log(name).read_text(encoding="utf-8", errors="replace")

    def here(self, text: str, service: Service | None = None) -> str:
        """The text with addresses, ports and mount points of this machine."""
        for address, here in self.addresses.items():
            text = re.sub(rf"\b{re.escape(address)}\b", here, text)
        for port, free in self.ports.items():
            text = re.sub(rf"(?<!\d){port}(?!\d)", str(free), text)
        for point, path in self._mounts(service or {}).items():
            text = re.sub(rf"(?<![\w./]){re.escape(point)}(?!\w)", str(path), text)
        return "127.0.0.1" if text == "0.0.0.0" else text

    def is_healthy(self, name: str) -> bool:
        """Whether the service's check passes now."""
        service = self.services[name]
        check = service["healthcheck"]
        kind, *argv = check["test"]
        assert kind == "CMD", "a check of ours needs no shell"
        options = {**self._options(service), "timeout": seconds(check["timeout"])}
        try:
            done = subprocess.run(
                self._words(argv, service), check=False, capture_output=True, **options
            )
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0

    def stop(self) -> dict[str, int]:
        """End all that last, the last started first, each in its time; their exit statuses."""
        statuses = {}
        for name, process in reversed(self.processes.items()):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(seconds(self.services[name]["stop_grace_period"]))
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
            if lasts(self.services[name]):
                statuses[name] = process.wait()
        self.processes.clear()
        return statuses

    @property
    def root(self) -> Path:
        """Where processes start: a folder without our sources."""
        return self.folder / "root"

    def _start(self, name: str, service: Service) -> "subprocess.Popen[bytes]":
        with self._log(name).open("wb") as log:
            return subprocess.Popen(
                self._words([*entrypoint(service), *service["command"]], service),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent,
                **self._options(service),
            )

    def _await(self, name: str, service: Service) -> None:
        process, end = self.processes[name], time.monotonic() + HEALTHY_SECONDS
        if not lasts(service):
            assert process.wait(HEALTHY_SECONDS) == 0, self.printed(name)
            return
        while not self.is_healthy(name):
            assert process.poll() is None, self.printed(name)
            assert time.monotonic() < end, f"{name} is not healthy:\n{self.printed(name)}"
            time.sleep(0.5)

    def _finish(self, argv: Sequence[str], service: Service) -> str:
        options = {**self._options(service), "timeout": COMMAND_SECONDS}
        words = self._words(argv, service)
        done = subprocess.run(words, check=False, capture_output=True, text=True, **options)
        assert done.returncode == 0, f"{shlex.join(argv)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def _words(self, argv: Sequence[str], service: Service) -> list[str]:
        return [self.here(word, service) for word in argv]

    def _options(self, service: Service) -> dict[str, Any]:
        given = {**image_environment(), **service.get("environment", {})}
        environment = {name: self.here(str(value), service) for name, value in given.items()}
        environment["PATH"] = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
        environment |= dict.fromkeys(("TMPDIR", "RAY_TMPDIR"), environment["HOME"])
        return {"cwd": self.root, "env": environment}

    def _mounts(self, service: Service) -> dict[str, Path]:
        """Folders of this machine by mount point of a service."""
        found = {"/tmp": self.mounts["/tmp"]}
        for volume in service.get("volumes", []):
            source, point = volume.removesuffix(":ro").split(":")
            found[point] = self.mounts.get(source) or (self.folder / source).resolve()
        return found


def lasts(service: Service) -> bool:
    """Whether the service runs until it is told to end."""
    return bool(service["restart"] == "unless-stopped")


def entrypoint(service: Service) -> list[str]:
    """What its command is given to: its own, else the image's."""
    words: list[str] = service.get("entrypoint") or json.loads(_instruction("ENTRYPOINT"))
    return words


def image_environment() -> dict[str, str]:
    """ENV of our image."""
    words = (word.partition("=") for word in shlex.split(_instruction("ENV")))
    return {name: value for name, _, value in words}


def _instruction(name: str) -> str:
    """What the last instruction of this name in the Dockerfile says."""
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    return [line.split(" ", 1)[1] for line in lines if line.startswith(f"{name} ")][-1]


def seconds(text: str) -> float:
    """A duration such as 1m or 30s."""
    return float(text[:-1]) * {"s": 1, "m": 60}[text[-1]]


def die_with_parent() -> None:
    """No service outlives the tests, however they end (Linux)."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
