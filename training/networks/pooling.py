"""Pooling of post vectors to user vectors: R^I and R^T.

Shapes: P posts, U users, D width.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch_geometric.utils import degree, scatter, softmax

from training.networks.config import PostPooling


class MeanPooling(nn.Module):
    """The mean over a user's posts: R_u = 1/|P(u)| sum over p in P(u) of r_p; 0 without posts."""

    def forward(
        self, values_PD: Float[Tensor, "P D"], owners_P: Int[Tensor, " P"], num_owners: int
    ) -> tuple[Float[Tensor, "U D"], Bool[Tensor, " U"]]:
        """R_u of every user, zero without posts, and which users have posts."""
        means_UD = scatter(values_PD, owners_P, dim=0, dim_size=num_owners, reduce="mean")
        return means_UD, degree(owners_P, num_owners) > 0


class AttentionPooling(nn.Module):
    """Attention over a user's posts (Ilse et al. 2018, eq. 7, 8, with a bias).

        R_u = sum over p in P(u) of a_p r_p
        a_p = softmax over p in P(u) of q . tanh(V r_p + b)

    "Attention-based deep multiple instance learning", arXiv 1802.04712. The learned query q is
    zero at first, so that R_u begins as the mean.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.keys = nn.Linear(width, width)
        self.query = nn.Parameter(torch.zeros(width))

    def forward(
        self, values_PD: Float[Tensor, "P D"], owners_P: Int[Tensor, " P"], num_owners: int
    ) -> tuple[Float[Tensor, "U D"], Bool[Tensor, " U"]]:
        """R_u of every user, zero without posts, and which users have posts."""
        with torch.autocast(values_PD.device.type, enabled=False):
            scores_P = torch.tanh(self.keys(values_PD.float())) @ self.query
        weights_P = softmax(scores_P, owners_P, num_nodes=num_owners)
        weighted_PD = values_PD * weights_P.unsqueeze(1)
        sums_UD = scatter(weighted_PD, owners_P, dim=0, dim_size=num_owners, reduce="sum")
        return sums_UD, degree(owners_P, num_owners) > 0


Pooling = MeanPooling | AttentionPooling


def post_pooling(kind: PostPooling, width: int) -> Pooling:
    """The pooling of this kind for vectors of this width."""
    return AttentionPooling(width) if kind == "attention" else MeanPooling()
