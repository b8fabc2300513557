"""The representation R of a user: the vector that is evaluated, indexed and read by heads.

B users; widths D_g, D_i, D_t; D their sum.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from featurestore.definitions import MODALITIES

FloatArray = NDArray[np.float32]


def representation(
    graph: FloatArray, image: FloatArray, text: FloatArray, scales: Mapping[str, float]
) -> FloatArray:
    """Concatenate (B, D_g), (B, D_i), (B, D_t), each times its scale, to (B, D)."""
    parts = (graph, image, text)
    R_BD = np.empty((len(graph), sum(part.shape[1] for part in parts)), np.float32)
    end = 0
    for part, name in zip(parts, MODALITIES, strict=True):
        start, end = end, end + part.shape[1]
        np.multiply(part, np.float32(scales[name]), out=R_BD[:, start:end])
    return R_BD


def fit_scales(graph: FloatArray, image: FloatArray, text: FloatArray) -> dict[str, float]:
    """The scale of each part that makes its mean squared norm 1 (0 where a part is zero).

    They are fitted once, at publishing, and stored in the generation's manifest.
    """
    return {
        name: inverse_root_mean_square(part)
        for name, part in zip(MODALITIES, (graph, image, text), strict=True)
    }


def inverse_root_mean_square(part: FloatArray) -> float:
    """1 / sqrt(mean over users of the squared norm)."""
    if part.size == 0:
        return 0.0
    mean = float(np.square(part, dtype=np.float64).sum() / len(part))
    return mean**-0.5 if mean > 0 else 0.0
