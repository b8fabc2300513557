"""From posts to users: R^I and R^T of a user from the vectors of the posts that have one.

Shapes: P posts, U users, D width.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch_geometric.utils import degree, scatter, softmax

from training.networks.config import PostPooling


class MeanPooling(nn.Module):
    """The mean over a user's posts."""

    def forward(
        self, values_PD: Float[Tensor, "P D"], owners_P: Int[Tensor, " P"], num_owners: int
    ) -> tuple[Float[Tensor, "U D"], Bool[Tensor, " U"]]:
        """One vector a user, zero for one without posts, and which users have any."""
        means_UD = scatter(values_PD, owners_P, dim=0, dim_size=num_owners, reduce="mean")
        return means_UD, degree(owners_P, num_owners) > 0


class AttentionPooling(nn.Module):
    """A weighted mean over a user's posts: softmax over the posts of q · tanh(V r).

    The learned query of Ilse et al. 2018, "Attention-based deep multiple instance learning". The
    query begins at zero, so the first weights are those of the mean.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.keys = nn.Linear(width, width)
        self.query = nn.Parameter(torch.zeros(width))

    def forward(
        self, values_PD: Float[Tensor, "P D"], owners_P: Int[Tensor, " P"], num_owners: int
    ) -> tuple[Float[Tensor, "U D"], Bool[Tensor, " U"]]:
        """One vector a user, zero for one without posts, and which users have any."""
        with torch.autocast(values_PD.device.type, enabled=False):
            scores_P = torch.tanh(self.keys(values_PD.float())) @ self.query
        weights_P = softmax(scores_P, owners_P, num_nodes=num_owners)
        weighted_PD = values_PD * weights_P.unsqueeze(1)
        sums_UD = scatter(weighted_PD, owners_P, dim=0, dim_size=num_owners, reduce="sum")
        return sums_UD, degree(owners_P, num_owners) > 0


Pooling = MeanPooling | AttentionPooling


def post_pooling(kind: PostPooling, width: int) -> Pooling:
    """The pooling that the run asks for."""
    return AttentionPooling(width) if kind == "attention" else MeanPooling()
