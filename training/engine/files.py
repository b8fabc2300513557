"""Tensors and JSON documents of a run, written whole or not at all."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from foundation.durable_files import write_text, write_whole
from training.errors import RunUnreadable


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a safetensors file."""
    write_whole(path, lambda partial: save_file(dict(tensors), partial))


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
