"""Truncated SVD of the follow matrix: the product of two rows is its approximation.

Shapes: N users, D singular vectors, Q pairs.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import svds

from graphdb.adjacency import SnapshotGraph
from training.evaluation.threads import one_thread

FloatArray = NDArray[np.float32]

NUM_SINGULAR = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Factors:
    """Truncated SVD of the follow matrix: the product of two rows is its approximation."""

    left: FloatArray  # (N, D)
    right: FloatArray  # (N, D)

    def products(
        self, followers: NDArray[np.int64], followees: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """The approximation (Q,) at these pairs."""
        return np.einsum("qd,qd->q", self.left[followers], self.right[followees], dtype=np.float64)


@one_thread()
def factors(graph: SnapshotGraph) -> Factors:
    """Factors of the follows of this graph; zero where it has too few users or none."""
    num_users = graph.num_nodes
    num = min(NUM_SINGULAR, num_users - 1)
    pairs = graph.followees.pairs()
    if num < 1 or not len(pairs):
        nothing = np.zeros((num_users, 1), np.float32)
        return Factors(left=nothing, right=nothing)
    matrix = csr_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), (num_users, num_users))
    left, values, right = svds(matrix, k=num, rng=np.random.default_rng(0))
    root = np.sqrt(values)
    return Factors(left=(left * root).astype(np.float32), right=(right.T * root).astype(np.float32))
