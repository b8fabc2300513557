"""User vectors of a run on disk, so that no step after encoding has to encode again.

The file is safetensors. It is written part by part and read memory-mapped, so that neither needs
room for all users at once.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from training.engine.files import write_whole
from training.mmga.user_vectors import PostVectors

PARTS = ("graph", "image", "text", "has_image", "has_text")
TYPES = {"F32": np.dtype("<f4"), "BOOL": np.dtype(np.bool_)}
LENGTH_BYTES = 8

Vectors = TypeVar("Vectors", bound=PostVectors)

Rows = Callable[[], Iterable[NDArray[np.generic]]]
"""The rows of a part, piece by piece."""


def save_vectors(path: Path, vectors: PostVectors) -> None:
    """Write the vectors, those of users or of their posts alone, whole or not at all."""
    names = [field.name for field in fields(vectors)]
    arrays = {name: np.ascontiguousarray(getattr(vectors, name)) for name in names}
    write_whole(path, lambda partial: save_file(arrays, partial))


def save_rows(
    path: Path, num_users: int, widths: Mapping[str, int], rows: Mapping[str, Rows]
) -> None:
    """Write vectors of which no more than a piece is in memory, whole or not at all."""
    header: dict[str, object] = {}
    end = 0
    for name in PARTS:
        kind = "F32" if name in widths else "BOOL"
        shape = [num_users, widths[name]] if name in widths else [num_users]
        begin, end = end, end + int(np.prod(shape)) * TYPES[kind].itemsize
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [begin, end]}
    document = json.dumps(header).encode()
    document += b" " * (-len(document) % LENGTH_BYTES)

    def write(partial: Path) -> None:
        with partial.open("wb") as file:
            file.write(len(document).to_bytes(LENGTH_BYTES, "little") + document)
            for name in PARTS:
                for piece in rows[name]():
                    file.write(np.ascontiguousarray(piece).tobytes())

    write_whole(path, write)


def load_vectors(path: Path, kind: type[Vectors]) -> Vectors:
    """The vectors of the file, memory-mapped."""
    with path.open("rb") as file:
        header, start = read_header(file)
    arrays = {}
    for name in (field.name for field in fields(kind)):
        entry = header[name]
        dtype, shape = TYPES[entry["dtype"]], tuple(entry["shape"])
        offset = start + entry["data_offsets"][0]
        # Copy on write: no reader can change the file.
        arrays[name] = np.asarray(np.memmap(path, dtype, mode="c", offset=offset, shape=shape))
    return kind(**arrays)


def read_header(file: BinaryIO) -> tuple[dict[str, dict[str, Any]], int]:
    """Names, types and places of the tensors, and where their data begins."""
    length = int.from_bytes(file.read(LENGTH_BYTES), "little")
    return json.loads(file.read(length)), LENGTH_BYTES + length
