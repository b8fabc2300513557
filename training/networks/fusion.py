"""Gated fusion of a user's graph, image and text vectors to one vector R.

The paper concatenates R = [R^G | R^I | R^T] (section 2.2), which needs no parameters; gated fusion
is an option.

Shapes: n users, Dg, Di, Dt widths.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


class GatedFusion(nn.Module):
    """Gated multimodal unit (Arevalo et al. 2017, arXiv 1702.01992); R has the width of R^G.

        R   = sum over m in {G, I, T} of z_m * tanh(W_m x_m + b_m),  x_m = LayerNorm(R^m)
        z_m = sigmoid(V_m [x_G | x_I | x_T] + c_m)

    z_m is the share of each dimension that comes from m. LayerNorm compensates for the different
    scales of the encoders. A missing image or text has x_m = 0 and adds nothing to R.
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
        """R of every user. Rows of a missing image or text are ignored."""
        known = (torch.ones_like(has_image_n), has_image_n, has_text_n)
        inputs = [
            torch.where(mask.unsqueeze(1), norm(vectors), 0.0)
            for norm, vectors, mask in zip(
                self.norms, (graph_nD, image_nD, text_nD), known, strict=True
            )
        ]
        joined = torch.cat(inputs, dim=1)
        parts = [
            torch.sigmoid(gate(joined)) * torch.tanh(each(x)) * mask.unsqueeze(1)
            for gate, each, x, mask in zip(self.gates, self.maps, inputs, known, strict=True)
        ]
        return torch.stack(parts).sum(0)
