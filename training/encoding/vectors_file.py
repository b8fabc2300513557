"""The file of user vectors of a run, so that later steps need not encode again.

The file is safetensors. It is written part by part and read memory-mapped, so that neither needs
room for all users at once.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from foundation.durable_files import write_whole
from foundation.safetensors_file import header, mapped_tensors
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
    tensors = {
        name: ("F32", (num_users, widths[name])) if name in widths else ("BOOL", (num_users,))
        for name in PARTS
    }

    def write(partial: Path) -> None:
        with partial.open("wb") as file:
            file.write(header(tensors))
            for name in PARTS:
                for piece in rows[name]():
                    file.write(np.ascontiguousarray(piece).tobytes())

    write_whole(path, write)


def load_vectors(path: Path, kind: type[Vectors]) -> Vectors:
    """The vectors of the file, memory-mapped. Raises TensorsUnreadable."""
    tensors = mapped_tensors(path, mode="c")
    return kind(**{field.name: np.asarray(tensors[field.name]) for field in fields(kind)})
