"""What differs between two runs of the same code, made the same; Python loads this by itself.

Python imports a module of this name when it starts, where PYTHONPATH names its folder. Nothing of
the product is changed: only calls that come from a file below UNCHANGED_ROOT are answered
differently, so neither Ray nor any library sees another clock.

In the command itself, the process whose parent is UNCHANGED_PARENT: wall clocks stand still, and
ids are taken from a sequence of their own for each kind, size and UNCHANGED_START, the number of
the start. A command that goes on after a kill is another start, so its ids are others; its clock is
the same. Ray's processes are children of the command and keep their clocks and their ids: they name
drafts of files by them, no more.

In all processes: a package that lies in UNCHANGED_ROOT is imported from there, or not at all.
"""

import ctypes
import datetime
import gc
import hashlib
import itertools
import os
import secrets
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

NOW_SECONDS = 1_780_272_000
"""1 June 2026, UTC: after all events of a generated network, but for the bad ones."""

ROOT = os.environ.get("UNCHANGED_ROOT", "")
START = os.environ.get("UNCHANGED_START", "0")
PARENT = os.environ.get("UNCHANGED_PARENT", "")

counters: "defaultdict[str, Iterator[int]]" = defaultdict(itertools.count)


class OwnCode:
    """Refuses to import a package of ours from elsewhere, such as an installed copy."""

    def __init__(self, root: Path) -> None:
        self.root = root
        modules = {path.stem for path in root.glob("*.py")}
        self.names = modules | {path.parent.name for path in root.glob("*/__init__.py")}

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """The module's place, where it is ours; None for others. Raises ImportError."""
        if path is not None or name not in self.names:
            return None
        spec = PathFinder.find_spec(name)
        if spec is None or not str(spec.origin).startswith(f"{self.root}{os.sep}"):
            raise ImportError(f"{name} would come from {spec and spec.origin}, not {self.root}")
        return spec


def is_ours(depth: int = 2) -> bool:
    """Whether the caller of the function that asks is a file of the checkout."""
    file = sys._getframe(depth).f_globals.get("__file__") or ""
    return str(file).startswith(f"{ROOT}{os.sep}")


def drawn(kind: str, size: int) -> bytes:
    """The next bytes of a kind and size."""
    number = next(counters[f"{kind} {size}"])
    words = b""
    while len(words) < size:
        told = f"{START} {kind} {size} {number} {len(words)}".encode()
        words += hashlib.blake2b(told).digest()
    return words[:size]


def pin_ids() -> None:
    """`secrets.token_hex`, `secrets.token_bytes`, `os.urandom` and `uuid.uuid4`."""
    token_hex, token_bytes = secrets.token_hex, secrets.token_bytes
    urandom, uuid4 = os.urandom, uuid.uuid4

    def pinned_hex(nbytes: int | None = None) -> str:
        return drawn("hex", nbytes or 32).hex() if is_ours() else token_hex(nbytes)

    def pinned_bytes(nbytes: int | None = None) -> bytes:
        return drawn("bytes", nbytes or 32) if is_ours() else token_bytes(nbytes)

    def pinned_urandom(size: int) -> bytes:
        return drawn("urandom", size) if is_ours() else urandom(size)

    def pinned_uuid4() -> uuid.UUID:
        return uuid.UUID(bytes=drawn("uuid4", 16), version=4) if is_ours() else uuid4()

    secrets.token_hex, secrets.token_bytes = pinned_hex, pinned_bytes
    os.urandom, uuid.uuid4 = pinned_urandom, pinned_uuid4


def pin_clocks() -> None:
    """`time.time`, `time.time_ns` and `datetime.now`; clocks that measure go on."""
    real_time, real_time_ns = time.time, time.time_ns

    def pinned_time() -> float:
        return float(NOW_SECONDS) if is_ours() else real_time()

    def pinned_time_ns() -> int:
        return NOW_SECONDS * 10**9 if is_ours() else real_time_ns()

    time.time, time.time_ns = pinned_time, pinned_time_ns
    kind = datetime.datetime
    real_now: Any = kind.__dict__["now"]

    def now(cls: Any, tz: datetime.tzinfo | None = None) -> Any:
        return cls.fromtimestamp(NOW_SECONDS, tz) if is_ours() else real_now.__get__(None, cls)(tz)

    # A type of C: its attributes can be set behind its back alone.
    [attributes] = gc.get_referents(kind.__dict__)
    attributes["now"] = classmethod(now)
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(kind))


if ROOT:
    sys.meta_path.insert(0, OwnCode(Path(ROOT)))  # type: ignore[arg-type]
    if str(os.getppid()) == PARENT:
        pin_ids()
        pin_clocks()
