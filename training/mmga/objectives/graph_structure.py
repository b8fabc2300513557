"""Graph structure modelling: classify pairs as hidden edges or negatives (section 2.4).

Shapes: Q pairs, D width.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits


class GraphStructureModelling(nn.Module):
    """Binary cross entropy of a decoder of pairs.

        z(u, v) = W_2 ReLU(W_1 [h_u | h_v | h_u * h_v] + b_1) + b_2
        loss    = -mean over pairs of y log sigmoid(z) + (1 - y) log(1 - sigmoid(z))

    y is 1 for edges and 0 for negatives. In directed pairs (`follows`) u is the follower. Mutual
    edges have no order, so z is the mean of z(u, v) and z(v, u).
    """

    def __init__(self, *, width: int, directed: bool) -> None:
        super().__init__()
        self.directed = directed
        self.decoder = nn.Sequential(nn.Linear(3 * width, width), nn.ReLU(), nn.Linear(width, 1))

    def score(self, u_QD: Float[Tensor, "Q D"], v_QD: Float[Tensor, "Q D"]) -> Float[Tensor, " Q"]:
        """Logits z that an edge joins u and v."""
        product = u_QD * v_QD
        forth: Tensor = self.decoder(torch.cat([u_QD, v_QD, product], dim=1)).squeeze(1)
        if self.directed:
            return forth
        back: Tensor = self.decoder(torch.cat([v_QD, u_QD, product], dim=1)).squeeze(1)
        return (forth + back) / 2

    def forward(
        self,
        u_QD: Float[Tensor, "Q D"],
        v_QD: Float[Tensor, "Q D"],
        connected_Q: Float[Tensor, " Q"],
    ) -> Float[Tensor, ""]:
        """Mean loss over the pairs; 0 without pairs. `connected_Q` holds y."""
        total = binary_cross_entropy_with_logits(
            self.score(u_QD, v_QD), connected_Q, reduction="sum"
        )
        return total / max(1, len(connected_Q))
