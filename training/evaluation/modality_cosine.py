"""Link prediction by the cosine of one modality.

It measures the effect of the graph contrastive losses (eq. 7, 8), which make the image and text
vectors of connected users similar. No head is trained. R as a whole contains the graph as well, so
it may not show that effect.

Shapes: N users, D width, Q pairs, E users at an end of any.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BLOCK = 16_384
"""Number of pairs whose vectors are read at once; all would take gigabytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Modality:
    """R^I or R^T of all users; the row of a user without the modality is not read."""

    vectors: NDArray[np.float32]
    has: NDArray[np.bool_]

    def cosines(
        self, followers_Q: NDArray[np.int64], followees_Q: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Cosines (Q,) of deviations from the mean user; 0 where either has no vector."""
        mean_D = self.vectors.mean(axis=0, where=self.has[:, None])
        ends, positions = np.unique(np.concatenate([followers_Q, followees_Q]), return_inverse=True)
        units_ED = np.where(self.has[ends, None], self.vectors[ends] - mean_D, 0.0)
        lengths_E1 = np.linalg.norm(units_ED, axis=1, keepdims=True)
        units_ED /= np.where(lengths_E1 > 0, lengths_E1, 1.0)
        u_Q, v_Q = np.split(positions, 2)
        found = np.empty(len(u_Q), np.float32)
        for start in range(0, len(u_Q), BLOCK):
            rows = slice(start, start + BLOCK)
            np.einsum("qd,qd->q", units_ED[u_Q[rows]], units_ED[v_Q[rows]], out=found[rows])
        return found
