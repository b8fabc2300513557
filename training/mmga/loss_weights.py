"""How the objectives' losses are weighted against each other before they are summed."""

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
"""What a step's losses are computed of: one of the two; of `joint` one of each."""

TERMS: dict[str, Part] = {
    "language_modelling": "encoders",
    "alignment": "encoders",
    "contrast_image": "encoders",
    "contrast_text": "encoders",
    "node_feature": "graph",
    "graph_structure": "graph",
}
"""Every term of the loss, and whose parameters it moves."""

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
    """Each term times its configured weight; a term of weight 0 is left out."""

    def __init__(self, options: ObjectiveConfig) -> None:
        super().__init__()
        self.weights = {name: weight for name, weight in weights(options).items() if weight}

    def forward(self, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The terms to sum."""
        return {
            name: self.weights[name] * loss for name, loss in losses.items() if name in self.weights
        }

    def parameters_of(self, part: Part) -> list[nn.Parameter]:
        """None."""
        return []


class UncertaintyWeights(nn.Module):
    """exp(-s) L + s / 2 for each term, with a learned s = log sigma^2 (Kendall, Gal, Cipolla 2018).

    A term that cannot be learnt well gets a small weight; s / 2 keeps the weights from vanishing.
    The weights exp(-s) begin at the configured ones; a term of weight 0 is left out.
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
        """The terms to sum."""
        terms = {}
        for name, loss in losses.items():
            # What has no gradient was not in the batch: its weight would only grow.
            if name in self.log_variances and (loss.requires_grad or not torch.is_grad_enabled()):
                s = self.log_variances[name]
                terms[name] = torch.exp(-s) * loss + s / 2
        return terms

    def parameters_of(self, part: Part) -> list[nn.Parameter]:
        """The log variances of the terms that move the encoders, or the graph encoder."""
        return [each for name, each in self.log_variances.items() if TERMS[name] == part]


class WeightedNetwork(nn.Module):
    """The network of a run with the weights of its losses, which may be learned beside it."""

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
        """The encoders' matrix products in bf16 where the run asks for it, all else in float32."""
        device = self.model.statistics_mean.device.type
        return torch.autocast(device, dtype=torch.bfloat16, enabled=self.in_bf16 and encoders)

    def parameters_of(self, part: Part) -> list[nn.Parameter]:
        """What a phase of this part moves, frozen parameters included."""
        model = self.model
        own = model.encoder_parameters() if part == "encoders" else model.graph_parameters()
        return [*own, *self.weighting.parameters_of(part)]
