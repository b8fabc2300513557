"""Tensors of a safetensors file, memory-mapped.

The file is the length of its header (8 bytes, little-endian), the header (JSON: dtype, shape and
place of each tensor), and the data.
"""

import json
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
METADATA = "__metadata__"


def read_header(path: Path) -> tuple[dict[str, Mapping[str, Any]], int]:
    """The entry of each tensor, and where the data begin. Raises TensorsUnreadable, OSError."""
    entries, start = _read_header(path)
    entries.pop(METADATA, None)
    return entries, start


def read_metadata(path: Path) -> dict[str, str]:
    """The texts that a file carries beside its tensors. Raises TensorsUnreadable, OSError."""
    return dict(_read_header(path)[0].get(METADATA, {}))


def _read_header(path: Path) -> tuple[dict[str, Any], int]:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(LENGTH_BYTES), "little")
        if length > path.stat().st_size - LENGTH_BYTES:
            raise _unreadable(path, "it is shorter than its header")
        try:
            entries = dict(json.loads(file.read(length)))
        except (ValueError, TypeError) as error:
            raise _unreadable(path, error) from error
    return entries, LENGTH_BYTES + length


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
    return np.memmap(path, kind, mode=mode, offset=offset, shape=shape)


def _unreadable(path: Path, reason: object) -> TensorsUnreadable:
    return TensorsUnreadable(
        f"{path} holds no readable tensors ({reason}): delete it and run again"
    )
