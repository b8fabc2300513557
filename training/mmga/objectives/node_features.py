"""Node feature modelling: predict the statistics of masked users from their neighbours.

Section 2.4; Hu et al. 2019, GPT-GNN. The decoder is linear, the target is X alone.
Shapes: B seeds, F features, D width.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, huber_loss

from training.mmga.config import NodeFeatureLoss

COSINE_POWER = 2


class NodeFeatureModelling(nn.Module):
    """The error of a linear prediction of X_u, z-scored, from R^G_u of masked users u.

        p_u           = W R^G_u + b
        huber         = mean over masked u and features f of H(p_uf - X_uf),
                        H(e) = e^2 / 2 if |e| <= 1 else |e| - 1/2
        scaled_cosine = mean over masked u of (1 - cos(p_u, X_u))^2

    `scaled_cosine` suits wide sparse features (Hou et al. 2022, GraphMAE).
    """

    def __init__(self, *, width: int, num_features: int, loss: NodeFeatureLoss = "huber") -> None:
        super().__init__()
        self.loss = loss
        self.decoder = nn.Linear(width, num_features)

    def forward(
        self,
        graph_BD: Float[Tensor, "B D"],
        statistics_BF: Float[Tensor, "B F"],
        masked_B: Bool[Tensor, " B"],
    ) -> Float[Tensor, ""]:
        """Mean over the masked seeds; 0 without masked seeds."""
        weights_B = masked_B.to(graph_BD.dtype)
        error_B = feature_errors(self.decoder(graph_BD), statistics_BF, self.loss)
        total: Tensor = (error_B * weights_B).sum() / weights_B.sum().clamp(min=1.0)
        return total


def feature_errors(
    predicted_BF: Float[Tensor, "B F"], statistics_BF: Float[Tensor, "B F"], loss: NodeFeatureLoss
) -> Float[Tensor, " B"]:
    """The error of each row."""
    if loss == "huber":
        return huber_loss(predicted_BF, statistics_BF, reduction="none").mean(1)
    return (1 - cosine_similarity(predicted_BF, statistics_BF, dim=1)) ** COSINE_POWER


def mask_nodes(num_nodes: int, rate: float, generator: torch.Generator) -> Bool[Tensor, " n"]:
    """Which nodes are masked: each with probability `rate`, independently."""
    return torch.rand(num_nodes, generator=generator) < rate
