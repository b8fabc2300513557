"""The file of user vectors of a run, so that later steps need not encode again.

The file is safetensors. It is written part by part and read memory-mapped, so that neither needs
room for all users at once.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from foundation.durable_files import write_whole
from foundation.safetensors_file import LENGTH_BYTES, TYPES, mapped_tensors
from training.mmga.user_vectors import PostVectors

PARTS = ("graph", "image", "text", "has_image", "has_text")

Vectors = TypeVar("Vectors", bound=PostVectors)

Rows = Callable[[], Iterable[NDArray[np.generic]]]
"""The rows of a part, piece by piece."""


def save_vectors(path: Path, vectors: PostVectors) -> None:
    """Write vectors (of users, or R^I and R^T only) to a file, atomically."""
    names = [field.name for field in fields(vectors)]
    arrays = {name: np.ascontiguousarray(getattr(vectors, name)) for name in names}
    write_whole(path, lambda partial: save_file(arrays, partial))


def save_rows(
    path: Path, num_users: int, widths: Mapping[str, int], rows: Mapping[str, Rows]
) -> None:
    """Write vectors to a file atomically, with one piece in memory at a time."""
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
    """The vectors of the file, memory-mapped. Raises TensorsUnreadable."""
    tensors = mapped_tensors(path, mode="c")
    return kind(**{field.name: np.asarray(tensors[field.name]) for field in fields(kind)})
