"""Graph structure modelling: tell hidden edges from pairs that are not connected (section 2.4).

Shapes: Q pairs, D width.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits


class GraphStructureModelling(nn.Module):
    """Binary cross entropy of a pair decoder on [h_u | h_v | h_u * h_v].

    Directed pairs (`follows`) keep their order, the follower first; for mutual edges, which have
    none, both orders are averaged.
    """

    def __init__(self, *, width: int, directed: bool) -> None:
        super().__init__()
        self.directed = directed
        self.decoder = nn.Sequential(nn.Linear(3 * width, width), nn.ReLU(), nn.Linear(width, 1))

    def score(self, u_QD: Float[Tensor, "Q D"], v_QD: Float[Tensor, "Q D"]) -> Float[Tensor, " Q"]:
        """Logits that u follows v."""
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
        """Mean loss over the pairs, 0 of none; `connected` is 1 for edges and 0 for negatives."""
        total = binary_cross_entropy_with_logits(
            self.score(u_QD, v_QD), connected_Q, reduction="sum"
        )
        return total / max(1, len(connected_Q))
