"""Ray on this machine alone: what it needs before it starts; it listens on loopback."""

import os
import secrets
import sys
import tempfile
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from pathlib import Path

from training.engine.cpus import usable_cpus
from training.errors import ClusterTooSmall, RayUnusable

MAX_SOCKET_BYTES = 107 if sys.platform == "linux" else 103
SESSION = "ray/session_2000-01-01_00-00-00_000000_4194304/sockets/plasma_store"
"""What Ray appends to the temporary folder for the longest of its sockets."""

TEMPORARY = ("RAY_TMPDIR", "TMPDIR") if sys.platform == "linux" else ("RAY_TMPDIR",)
AUTHENTICATION = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
MULTI_NODE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
INTERFACES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
LOOPBACK = {MULTI_NODE: "0"} | dict.fromkeys(
    INTERFACES, "lo0" if sys.platform == "darwin" else "lo"
)
"""Without the first, Ray takes an address that other machines reach and listens on all."""


def check_local_ray(num_workers: int, environ: Mapping[str, str]) -> None:
    """Check CPUs and temporary folder before Ray starts. Raises ClusterTooSmall, RayUnusable."""
    if num_workers > usable_cpus():
        raise ClusterTooSmall(
            f"this machine has {usable_cpus()} CPUs for us, --workers asks for {num_workers}: ask "
            "for fewer, or name a cluster with RAY_ADDRESS"
        )
    temporary_folder(environ)


def temporary_folder(environ: Mapping[str, str]) -> Path:
    """The folder of Ray's sockets and logs, which it can write. Raises RayUnusable."""
    name = next((name for name in TEMPORARY if environ.get(name)), None)
    folder = Path(environ[name] if name else "/tmp").absolute()  # noqa: S108 - as Ray itself
    origin = f"{name}={folder}" if name else str(folder)
    if len(os.fsencode(folder / SESSION)) > MAX_SOCKET_BYTES:
        most = MAX_SOCKET_BYTES - len(SESSION) - 1
        raise RayUnusable(
            f"{origin} is too long for Ray's sockets ({len(os.fsencode(folder))} bytes, at most "
            f"{most}): set RAY_TMPDIR to a shorter folder, for example /tmp"
        )
    try:
        (folder / "ray").mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder / "ray"):
            pass
    except OSError as error:
        raise RayUnusable(
            f"{origin} cannot hold Ray's files ({error.strerror}): set RAY_TMPDIR to a writable "
            "folder with a short path"
        ) from error
    return folder / "ray"


def give_token(environ: MutableMapping[str, str]) -> None:
    """Give Ray a token of this process, unless the environment says how its peers authenticate.

    Ray would keep one in the home folder of the user, which may not be writable.
    """
    if not any(environ.get(name) for name in AUTHENTICATION):
        environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


@contextmanager
def without_signal_handler() -> Iterator[None]:
    """Let Ray start without its handler of SIGTERM, which ends the process wherever it is.

    A start that is cut off leaves processes behind that nobody ends.
    """
    from ray._private import utils

    former = utils.set_sigterm_handler
    utils.set_sigterm_handler = lambda handler: None
    try:
        yield
    finally:
        utils.set_sigterm_handler = former


@contextmanager
def on_loopback() -> Iterator[None]:
    """Let Ray, and the workers that it starts, listen on the loopback interface alone."""
    former = {name: os.environ.get(name) for name in LOOPBACK}
    os.environ.update(LOOPBACK)
    from ray._private import ray_constants

    enabled = ray_constants.ENABLE_RAY_CLUSTER  # read from the environment at Ray's first import
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = enabled
        for name, value in former.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value
