"""Weights of the losses of all objectives, fixed or learned."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from training.mmga.batches import EncoderBatch, GraphBatch
from training.mmga.config import ObjectiveConfig, RunConfig
from training.mmga.model import MMGA
from training.mmga.phases import Part, Phase
from training.mmga.user_bank import UserBank

Batch = tuple[EncoderBatch | GraphBatch, ...]
"""The batches of one step: one batch, or in phase `joint` one of each type."""

TERMS: dict[str, Part] = {
    "language_modelling": "encoders",
    "alignment": "encoders",
    "contrast_image": "encoders",
    "contrast_text": "encoders",
    "node_feature": "graph",
    "graph_structure": "graph",
}
"""Every term of the loss, and the part of the network that it trains."""

PHASE_TERMS: dict[Phase, tuple[str, ...]] = {
    "phase0": ("language_modelling", "alignment"),
    "encoders": ("language_modelling", "alignment", "contrast_image", "contrast_text"),
    "graph": ("node_feature", "graph_structure"),
    "joint": tuple(TERMS),
}
"""The terms that each phase sums."""


def weights(options: ObjectiveConfig) -> dict[str, float]:
    """The configured weight of every term."""
    return {
        "language_modelling": options.weight_lm,
        "alignment": options.weight_alignment,
        "contrast_image": options.weight_contrast,
        "contrast_text": options.weight_contrast,
        "node_feature": options.weight_node_feature,
        "graph_structure": options.weight_graph_structure,
    }


class FixedWeights(nn.Module):
    """Fixed weights: loss = sum over terms k of w_k L_k; a term of weight 0 is omitted."""

    def __init__(self, options: ObjectiveConfig) -> None:
        super().__init__()
        self.weights = {name: weight for name, weight in weights(options).items() if weight}

    def forward(self, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weighted terms, by name."""
        return {
            name: self.weights[name] * loss for name, loss in losses.items() if name in self.weights
        }

    def parameters_of(self, part: Part) -> list[nn.Parameter]:
        """No parameters: the weights are fixed."""
        return []


class UncertaintyWeights(nn.Module):
    """Uncertainty weighting (Kendall, Gal, Cipolla 2018), with a learned s_k = log sigma_k^2.

        loss = sum over terms k of exp(-s_k) L_k + s_k / 2

    A term with a high loss gets a small weight; s_k / 2 keeps the weights from vanishing. Initially
    exp(-s_k) is the configured weight w_k; a term of weight 0 is omitted.
    """

    def __init__(self, options: ObjectiveConfig) -> None:
        super().__init__()
        self.log_variances = nn.ParameterDict(
            {
                name: nn.Parameter(torch.tensor(-math.log(weight)))
                for name, weight in weights(options).items()
                if weight
            }
        )

    def forward(self, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weighted terms, by name."""
        terms = {}
        for name, loss in losses.items():
            # A loss without gradient was not in the batch: its weight would only grow.
            if name in self.log_variances and (loss.requires_grad or not torch.is_grad_enabled()):
                s = self.log_variances[name]
                terms[name] = torch.exp(-s) * loss + s / 2
        return terms

    def parameters_of(self, part: Part) -> list[nn.Parameter]:
        """The log variances of the terms that move the encoders, or the graph encoder."""
        return [each for name, each in self.log_variances.items() if TERMS[name] == part]


class WeightedNetwork(nn.Module):
    """The network of a run and the weights of its losses, which may be learned."""

    def __init__(self, model: MMGA, config: RunConfig) -> None:
        super().__init__()
        self.model = model
        options = config.objectives
        learned = options.weighting == "uncertainty"
        self.weighting = UncertaintyWeights(options) if learned else FixedWeights(options)
        self.in_bf16 = config.compute.precision == "bf16"

    def forward(self, batch: Batch, bank: UserBank) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Every loss, without gradient, and the weighted terms to sum."""
        losses: dict[str, Tensor] = {}
        for part in batch:
            with self.precision(encoders=isinstance(part, EncoderBatch)):
                losses |= self.model(part, bank)
        return {name: loss.detach() for name, loss in losses.items()}, self.weighting(losses)

    def precision(self, *, encoders: bool) -> torch.autocast:
        """Autocast to bf16 for the encoders if the run's precision is bf16; else float32."""
        device = self.model.statistics_mean.device.type
        return torch.autocast(device, dtype=torch.bfloat16, enabled=self.in_bf16 and encoders)

    def parameters_of(self, part: Part) -> list[nn.Parameter]:
        """Parameters that a phase of this part trains, frozen ones included."""
        model = self.model
        own = model.encoder_parameters() if part == "encoders" else model.graph_parameters()
        return [*own, *self.weighting.parameters_of(part)]
