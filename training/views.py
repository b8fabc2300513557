"""How well one view of users alone tells who follows whom.

The graph contrastive losses (eq. 7, 8) are to make connected users alike in image and in text. No
head learns here: the cosine of two users' vectors is what those losses act on, while R as a whole,
which holds the graph too, may know no more for it.

Shapes: N users, D width, Q pairs.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.encoding import UserVectors


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """R^I or R^T of all users; the row of a user without one is not read."""

    vectors: NDArray[np.float32]
    has: NDArray[np.bool_]

    def cosines(
        self, followers_Q: NDArray[np.int64], followees_Q: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Cosines (Q,) of deviations from the mean user; 0 where either has no vector."""
        units_ND = np.zeros_like(self.vectors)
        known_KD = self.vectors[self.has]
        known_KD = known_KD - known_KD.mean(axis=0, keepdims=True)
        lengths_K1 = np.linalg.norm(known_KD, axis=1, keepdims=True)
        units_ND[self.has] = known_KD / np.where(lengths_K1 > 0, lengths_K1, 1.0)
        found: NDArray[np.float32] = np.einsum(
            "qd,qd->q", units_ND[followers_Q], units_ND[followees_Q]
        )
        return found


def views_of(vectors: UserVectors) -> Mapping[str, View]:
    """Text and images, those of them that any user has."""
    views = {
        "text": View(vectors=vectors.text, has=vectors.has_text),
        "images": View(vectors=vectors.image, has=vectors.has_image),
    }
    return {name: view for name, view in views.items() if view.has.any()}
