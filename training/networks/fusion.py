"""From three views to one user: the fused R, and modalities that training leaves out.

The paper concatenates R = [R^G | R^I | R^T] (section 2.2), which needs no parameters; the gated
unit is an option.

Shapes: n users, Dg, Di, Dt widths.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


class GatedFusion(nn.Module):
    """R = sum over graph, image and text of z_m * tanh(W_m R^m), as wide as R^G.

    The gated multimodal unit of Arevalo et al. 2017: z_m = sigmoid(V_m [R^G | R^I | R^T]) says, for
    each user and dimension, how much of a view is taken. Views are LayerNorm-ed first, since each
    encoder has its own scale. One that a user lacks gives nothing, to no gate either.
    """

    def __init__(self, *, graph_width: int, image_width: int, text_width: int) -> None:
        super().__init__()
        widths = (graph_width, image_width, text_width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width in widths)
        self.maps = nn.ModuleList(nn.Linear(width, graph_width) for width in widths)
        self.gates = nn.ModuleList(nn.Linear(sum(widths), graph_width) for _ in widths)

    def forward(
        self,
        graph_nD: Float[Tensor, "n Dg"],
        image_nD: Float[Tensor, "n Di"],
        text_nD: Float[Tensor, "n Dt"],
        has_image_n: Bool[Tensor, " n"],
        has_text_n: Bool[Tensor, " n"],
    ) -> Float[Tensor, "n Dg"]:
        """One vector a user. Rows of an image or a text that a user lacks are not read."""
        known = (torch.ones_like(has_image_n), has_image_n, has_text_n)
        views = [
            torch.where(mask.unsqueeze(1), norm(view), 0.0)
            for norm, view, mask in zip(
                self.norms, (graph_nD, image_nD, text_nD), known, strict=True
            )
        ]
        joined = torch.cat(views, dim=1)
        parts = [
            torch.sigmoid(gate(joined)) * torch.tanh(each(view)) * mask.unsqueeze(1)
            for gate, each, view, mask in zip(self.gates, self.maps, views, known, strict=True)
        ]
        return torch.stack(parts).sum(0)
