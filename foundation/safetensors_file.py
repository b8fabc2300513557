"""Tensors of a safetensors file, memory-mapped.

The file is the length of its header (8 bytes, little-endian), the header (JSON: dtype, shape and
place of each tensor), and the data.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from foundation.errors import TensorsUnreadable

TYPES: Mapping[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "I64": np.dtype("<i8"),
    "BOOL": np.dtype(np.bool_),
}
LENGTH_BYTES = 8


def read_header(path: Path) -> tuple[dict[str, Mapping[str, Any]], int]:
    """The entry of each tensor, and where the data begin. Raises TensorsUnreadable, OSError."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(LENGTH_BYTES), "little")
        if length > path.stat().st_size - LENGTH_BYTES:
            raise _unreadable(path, "it is shorter than its header")
        try:
            entries = dict(json.loads(file.read(length)))
        except (ValueError, TypeError) as error:
            raise _unreadable(path, error) from error
    entries.pop("__metadata__", None)
    return entries, LENGTH_BYTES + length


def header(tensors: Mapping[str, tuple[str, tuple[int, ...]]]) -> bytes:
    """The beginning of a file whose data follow in this order: type and shape by name."""
    entries: dict[str, object] = {}
    end = 0
    for name, (kind, shape) in tensors.items():
        begin, end = end, end + math.prod(shape) * TYPES[kind].itemsize
        entries[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [begin, end]}
    document = json.dumps(entries).encode()
    document += b" " * (-len(document) % LENGTH_BYTES)
    return len(document).to_bytes(LENGTH_BYTES, "little") + document


def mapped_tensors(path: Path, *, mode: Literal["r", "c"] = "r") -> dict[str, NDArray[Any]]:
    """All tensors by name, read-only, or with mode `c` copied where they are written to.

    No mode can change the file. Raises TensorsUnreadable, OSError.
    """
    entries, start = read_header(path)
    try:
        return {name: _mapped(path, entry, start, mode) for name, entry in entries.items()}
    except (ValueError, KeyError, TypeError) as error:
        raise _unreadable(path, error) from error


def _mapped(
    path: Path, entry: Mapping[str, Any], start: int, mode: Literal["r", "c"]
) -> NDArray[Any]:
    kind, shape = TYPES[entry["dtype"]], tuple(entry["shape"])
    offset = start + entry["data_offsets"][0]
    if 0 in shape:  # nothing to map
        return np.empty(shape, kind)
    return np.memmap(path, kind, mode=mode, offset=offset, shape=shape)


def _unreadable(path: Path, reason: object) -> TensorsUnreadable:
    return TensorsUnreadable(
        f"{path} holds no readable tensors ({reason}): delete it and run again"
    )
