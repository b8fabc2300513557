"""What Docker Compose does with our services, with processes of this machine as containers.

A process gets the literal entrypoint, command and environment of its service; the image's own come
from the Dockerfile. Only what a container would see under another name is put in its place: host
names and ports of the other services, its own ports, mount points.
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

from tests.compose.composefile import ROOT

SECONDS = re.compile(r"(?:(\d+)m)?(?:(\d+)s)?")
HEALTHY_SECONDS = 120.0
PR_SET_PDEATHSIG = 1
COMMAND_SECONDS = 300.0


@dataclass(frozen=True, kw_only=True)
class Places:
    """What stands where on this machine.

    `addresses` are by `host:port` in the compose network, `ports` by port in our containers,
    `mounts` by volume or host path as it stands in compose.yaml.
    """

    addresses: Mapping[str, str]
    ports: Mapping[int, int]
    mounts: Mapping[str, Path]


@dataclass(kw_only=True)
class Container:
    """A running process of a service, and what it printed."""

    service: str
    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def printed(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")


@dataclass(kw_only=True)
class Engine:
    """Runs services of a filled-in compose file; relative host paths start at `folder`."""

    document: dict[str, Any]
    places: Places
    folder: Path
    containers: dict[str, Container] = field(default_factory=dict)

    def up(self, *services: str) -> None:
        """`docker compose up --detach --wait`: each once those are well that it waits for.

        Services that are not named run already: they are servers of this machine.
        """
        for name in services:
            for other in self.document["services"][name].get("depends_on", {}):
                self._await(other)
            self.containers[name] = self._start(name, self._argv(self.document["services"][name]))
        for name in services:
            self._await(name)

    def run(self, name: str, command: Sequence[str], volumes: Sequence[str] = ()) -> str:
        """`docker compose run --rm`: the service's entrypoint with another command."""
        service = self.document["services"][name]
        service = {**service, "volumes": [*service.get("volumes", []), *volumes]}
        return self._finish(name, [*self._entrypoint(service), *command], service)

    def execute(self, name: str, command: Sequence[str]) -> str:
        """`docker compose exec`: a command in a running container."""
        assert self.containers[name].process.poll() is None, self.containers[name].printed
        return self._finish(name, command, self.document["services"][name])

    def here(self, url: str) -> str:
        """An address of this machine that compose.yaml publishes, as it is with these ports."""
        return self._mapped(url, {})

    def healthy(self, name: str) -> bool:
        """Whether the service's check passes now."""
        service = self.document["services"][name]
        check = service["healthcheck"]
        kind, *argv = check["test"]
        assert kind == "CMD", "a check of ours needs no shell"
        try:
            done = subprocess.run(
                self._mapped_argv(argv, service),
                env=self._environment(service),
                cwd=self._root,
                capture_output=True,
                check=False,
                timeout=seconds(check["timeout"]),
            )
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0

    def stop(self) -> dict[str, int]:
        """End all, the last started first, each within its grace period; their exit statuses."""
        statuses = {}
        for name, container in reversed(self.containers.items()):
            if self._is_to_end(name):
                continue
            grace = seconds(self.document["services"][name]["stop_grace_period"])
            container.process.send_signal(signal.SIGTERM)
            try:
                statuses[name] = container.process.wait(grace)
            except subprocess.TimeoutExpired:
                os.killpg(container.process.pid, signal.SIGKILL)
                statuses[name] = container.process.wait()
        self.containers.clear()
        return statuses

    def _start(self, name: str, argv: Sequence[str]) -> Container:
        service = self.document["services"][name]
        log = self.folder / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                self._mapped_argv(argv, service),
                env=self._environment(service),
                cwd=self._root,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        return Container(service=name, process=process, log=log)

    def _finish(self, name: str, argv: Sequence[str], service: dict[str, Any]) -> str:
        done = subprocess.run(
            self._mapped_argv(argv, service),
            env=self._environment(service),
            cwd=self._root,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{name}: {shlex.join(argv)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def _await(self, name: str) -> None:
        """Wait until a service of ours is healthy, or has ended well where it is to end."""
        container = self.containers.get(name)
        if container is None:
            return
        if self._is_to_end(name):
            assert container.process.wait(HEALTHY_SECONDS) == 0, container.printed
            return
        end = time.monotonic() + HEALTHY_SECONDS
        while not self.healthy(name):
            assert container.process.poll() is None, container.printed
            assert time.monotonic() < end, f"{name} is not healthy:\n{container.printed}"
            time.sleep(0.5)

    @property
    def _root(self) -> Path:
        """Where a container's processes start: a folder without our sources."""
        root = self.folder / "root"
        root.mkdir(exist_ok=True)
        return root

    def _is_to_end(self, name: str) -> bool:
        """Whether others wait for its end."""
        return any(
            service.get("depends_on", {}).get(name, {}).get("condition")
            == "service_completed_successfully"
            for service in self.document["services"].values()
        )

    def _argv(self, service: Mapping[str, Any]) -> list[str]:
        return [*self._entrypoint(service), *service["command"]]

    def _entrypoint(self, service: Mapping[str, Any]) -> list[str]:
        entrypoint: list[str] = service.get("entrypoint") or image_entrypoint()
        return entrypoint

    def _environment(self, service: Mapping[str, Any]) -> dict[str, str]:
        given = {**image_environment(), **service.get("environment", {})}
        mapped = {name: self._mapped(str(value), service) for name, value in given.items()}
        programs = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
        return {**mapped, "PATH": programs, "TMPDIR": mapped["HOME"], "RAY_TMPDIR": mapped["HOME"]}

    def _mapped_argv(self, argv: Sequence[str], service: Mapping[str, Any]) -> list[str]:
        return [self._mapped(word, service) for word in argv]

    def _mapped(self, text: str, service: Mapping[str, Any]) -> str:
        """The text with addresses, ports and mount points of this machine."""
        for address, here in self.places.addresses.items():
            text = re.sub(rf"\b{re.escape(address)}\b", here, text)
        for port, free in self.places.ports.items():
            text = re.sub(rf"(?<!\d){port}(?!\d)", str(free), text)
        for point, path in self._mounts(service).items():
            text = re.sub(rf"(?<![\w./]){re.escape(point)}(?!\w)", str(path), text)
        return "127.0.0.1" if text == "0.0.0.0" else text

    def _mounts(self, service: Mapping[str, Any]) -> dict[str, Path]:
        """Folders of this machine by mount point of a service."""
        found = {"/tmp": self.places.mounts["/tmp"]}
        for volume in service.get("volumes", []):
            source, point = volume.removesuffix(":ro").split(":")
            found[point] = self.places.mounts.get(source) or (self.folder / source).resolve()
        return found


def die_with_parent() -> None:
    """No container outlives the tests, however they end (Linux)."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def seconds(text: str) -> float:
    """A duration such as 1m30s."""
    match = SECONDS.fullmatch(text)
    assert match, text
    return 60.0 * int(match[1] or 0) + int(match[2] or 0)


def image_entrypoint() -> list[str]:
    """ENTRYPOINT of our image."""
    words: list[str] = json.loads(_instruction("ENTRYPOINT"))
    return words


def image_environment() -> dict[str, str]:
    """ENV of our image."""
    return {
        name: value
        for name, _, value in (word.partition("=") for word in shlex.split(_instruction("ENV")))
    }


def _instruction(name: str) -> str:
    """What the last instruction of this name in the Dockerfile says."""
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    return [line.split(" ", 1)[1] for line in lines if line.startswith(f"{name} ")][-1]
