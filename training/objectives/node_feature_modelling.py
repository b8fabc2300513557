"""Node feature modelling: predict the statistics of masked users from their neighbours.

Section 2.4; Hu et al. 2019, GPT-GNN. The decoder is linear, the target is X alone.
Shapes: B seeds, F features, D width.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import huber_loss


class NodeFeatureModelling(nn.Module):
    """Huber loss between a linear map of the masked users' vectors and their z-scored X."""

    def __init__(self, *, width: int, num_features: int) -> None:
        super().__init__()
        self.decoder = nn.Linear(width, num_features)

    def forward(
        self,
        graph_BD: Float[Tensor, "B D"],
        statistics_BF: Float[Tensor, "B F"],
        masked_B: Bool[Tensor, " B"],
    ) -> Float[Tensor, ""]:
        """Mean over the masked seeds and features; 0 where none is masked."""
        weights_B = masked_B.to(graph_BD.dtype)
        error_BF = huber_loss(self.decoder(graph_BD), statistics_BF, reduction="none")
        total: Tensor = (error_BF.mean(1) * weights_B).sum() / weights_B.sum().clamp(min=1.0)
        return total


def mask_nodes(num_nodes: int, rate: float, generator: torch.Generator) -> Bool[Tensor, " n"]:
    """A random share of the nodes."""
    return torch.rand(num_nodes, generator=generator) < rate
