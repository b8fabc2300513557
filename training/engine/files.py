"""Files that appear whole or not at all, and stay once they were there.

A file is written beside its place, flushed to the disk, renamed, and its folder is flushed. So
whatever is killed, and on a disk that keeps what it was told to flush also when the machine loses
power, a reader finds the old content or the new.
"""

import json
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from training.errors import RunUnreadable

PARTIAL = ".partial"
"""How the name of a file ends that is not whole yet; one without a writer was left by a kill."""


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file beside its place, then put it there; where that fails, none stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not the process's number: workers of several machines may share it.
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}{PARTIAL}")
    try:
        write(partial)
        flush(partial)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    flush(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a text file."""
    write_whole(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a safetensors file."""
    write_whole(path, lambda partial: save_file(dict(tensors), partial))


def flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors by name. Raises RunUnreadable."""
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise RunUnreadable(f"{path} cannot be read ({error}); delete the run's folder") from error
    return tensors


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a JSON document, whole or not at all."""
    write_text(path, json.dumps(values, sort_keys=True, indent=1))


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises RunUnreadable."""
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunUnreadable(f"{path} cannot be read ({error}); delete the run's folder") from error
    return values
