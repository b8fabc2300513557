"""Heads in numpy: standardise the input, then alternate Linear and ReLU.

B rows; I, O widths in and out. The file (safetensors) holds `mean` (I,), `std` (I,) and, for
layer 0, 1, …, `layers.K.weight` (out, in) and `layers.K.bias` (out,), as torch's Linear has them.
Sizes are read from the shapes, so one function evaluates every head.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from featurestore.errors import ArtifactCorrupt

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Moments of the input and the (weight, bias) of each layer."""

    mean: FloatArray
    std: FloatArray
    layers: tuple[tuple[FloatArray, FloatArray], ...]


def evaluate(head: Head, inputs: FloatArray) -> FloatArray:
    """Logits (B, O) of inputs (B, I). A constant feature (std 0) is only centred."""
    hidden = (inputs - head.mean) / np.where(head.std > 0, head.std, 1)
    for depth, (weight, bias) in enumerate(head.layers):
        hidden = np.maximum(hidden, 0) if depth else hidden
        hidden = hidden @ weight.T + bias
    return np.asarray(hidden, np.float32)


def user_input(representations: FloatArray) -> FloatArray:
    """Input of a head about one user: R itself, (B, D)."""
    return np.asarray(representations, np.float32)


def pair_input(sources: FloatArray, targets: FloatArray, counts: FloatArray) -> FloatArray:
    """Input of a head about a pair (B, 3 D + C): R_u, R_v, R_u * R_v, then log(1 + counts)."""
    parts = [sources, targets, sources * targets, np.log1p(counts)]
    return np.concatenate(parts, axis=1, dtype=np.float32)


def evaluate_pairs(
    head: Head, sources: FloatArray, targets: FloatArray, counts: FloatArray
) -> FloatArray:
    """Logits (B, O) of pairs from R_u (B, D), R_v (B, D) and counts (B, C).

    A head of width D + C, as they were published once, reads the product and the counts alone.
    Raises ArtifactCorrupt where the head is of neither width.
    """
    inputs = pair_input(sources, targets, counts)
    width, found = sources.shape[1], len(head.mean)
    if found == inputs.shape[1] - 2 * width:
        inputs = inputs[:, 2 * width :]
    elif found != inputs.shape[1]:
        raise ArtifactCorrupt(
            f"the head reads {found} numbers of a pair, and a pair of vectors of width {width} "
            f"with {counts.shape[1]} counts has {inputs.shape[1]}: train and publish again"
        )
    return evaluate(head, inputs)


def load_head(path: Path) -> Head:
    """Read a head. Raises ArtifactCorrupt when it is not one."""
    try:
        tensors = load_file(path)
        depth = sum(name.endswith(".weight") for name in tensors)
        layers = [
            (tensors[f"layers.{k}.weight"], tensors[f"layers.{k}.bias"]) for k in range(depth)
        ]
        return Head(mean=tensors["mean"], std=tensors["std"], layers=tuple(layers))
    except (OSError, KeyError, SafetensorError) as error:
        raise ArtifactCorrupt(f"{path} is not a head ({error}): publish it again") from error


def save_head(head: Head, path: Path) -> None:
    """Write a head in the one form that `load_head` reads."""
    tensors = {"mean": head.mean, "std": head.std}
    for depth, (weight, bias) in enumerate(head.layers):
        tensors |= {f"layers.{depth}.weight": weight, f"layers.{depth}.bias": bias}
    save_file({name: np.ascontiguousarray(x, np.float32) for name, x in tensors.items()}, path)
