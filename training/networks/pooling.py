"""From posts to users: R^I and R^T of a user from the vectors of the posts that have one.

Shapes: P posts, U users, D width.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from training.networks.config import PostPooling


class MeanPooling(nn.Module):
    """The mean over a user's posts."""

    def forward(
        self, values_PD: Float[Tensor, "P D"], owners_P: Int[Tensor, " P"], num_owners: int
    ) -> tuple[Float[Tensor, "U D"], Bool[Tensor, " U"]]:
        """One vector a user, zero for one without posts, and which users have any."""
        return mean_by_owner(values_PD, owners_P, num_owners)


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
        weights_P = softmax_by_owner(scores_P, owners_P, num_owners)
        sums_UD = values_PD.new_zeros(num_owners, values_PD.shape[1])
        sums_UD = sums_UD.index_add(0, owners_P, values_PD * weights_P.unsqueeze(1))
        return sums_UD, count_by_owner(owners_P, num_owners) > 0


Pooling = MeanPooling | AttentionPooling


def post_pooling(kind: PostPooling, width: int) -> Pooling:
    """The pooling that the run asks for."""
    return AttentionPooling(width) if kind == "attention" else MeanPooling()


def mean_by_owner(
    values_PD: Float[Tensor, "P D"], owners_P: Int[Tensor, " P"], num_owners: int
) -> tuple[Float[Tensor, "U D"], Bool[Tensor, " U"]]:
    """The masked mean of each user's posts (U, D), and which users have any (U,)."""
    counts_U = count_by_owner(owners_P, num_owners)
    sums_UD = values_PD.new_zeros(num_owners, values_PD.shape[1])
    sums_UD = sums_UD.index_add(0, owners_P, values_PD)
    return sums_UD / counts_U.clamp(min=1).unsqueeze(-1), counts_U > 0


def count_by_owner(owners_E: Int[Tensor, " E"], num_owners: int) -> Int[Tensor, " U"]:
    """How many entries each owner has; unlike bincount, this waits for no device."""
    zeros_U = owners_E.new_zeros(num_owners)
    return zeros_U.index_add(0, owners_E, torch.ones_like(owners_E))


def softmax_by_owner(
    scores_E: Float[Tensor, " E"], owners_E: Int[Tensor, " E"], num_owners: int
) -> Float[Tensor, " E"]:
    """Positive weights that sum to 1 over the entries of each owner."""
    peak_U = scores_E.new_full((num_owners,), -torch.inf)
    peak_U = peak_U.scatter_reduce(0, owners_E, scores_E.detach(), "amax")
    weights_E = torch.exp(scores_E - peak_U[owners_E])
    sums_U = scores_E.new_zeros(num_owners).index_add(0, owners_E, weights_E)
    return weights_E / sums_U[owners_E]
