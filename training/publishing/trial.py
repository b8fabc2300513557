"""What the promotion of a candidate is decided on. N users, D width of R."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graphdb.snapshot.snapshot import Snapshot
from training.evaluation.evaluator import Evaluator

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """The evaluator of a snapshot, R (N, D) of the candidate without held-out follows, and how far
    in AUC it may be below another generation."""

    snapshot: Snapshot
    evaluator: Evaluator
    R_ND: FloatArray
    margin: float

    def scores(self, R_ND: FloatArray) -> FloatArray:
        """Scores (Q,) of the test pairs by a head over R alone, fitted for it."""
        head = self.evaluator.fit(R_ND, with_counts=False)
        return self.evaluator.test.score(head, R_ND, with_counts=False)
