"""User vectors of a run on disk, so that no step after encoding has to encode again."""

from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from training.encoding import UserVectors

PARTS = ("graph", "image", "text", "has_image", "has_text")


def save_vectors(path: Path, vectors: UserVectors) -> None:
    """Write the vectors, whole or not at all."""
    partial = path.with_suffix(".partial")
    save_file({name: np.ascontiguousarray(getattr(vectors, name)) for name in PARTS}, partial)
    partial.replace(path)


def load_vectors(path: Path) -> UserVectors:
    """The vectors that `save_vectors` wrote."""
    return UserVectors(**load_file(path))
