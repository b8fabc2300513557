"""Optimisers, learning rates and gradient norms."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from training.engine.optimiser import optimiser, parameters_of
from training.mmga.config import PhasesConfig
from training.mmga.loss_weights import WeightedNetwork
from training.mmga.phases import Part, learning_rate_factor


def optimisers_of(
    network: WeightedNetwork, phases: PhasesConfig
) -> dict[Part, torch.optim.Optimizer]:
    """Two optimisers: of the encoders and their heads, of the graph encoder and its heads."""
    rates: dict[Part, float] = {
        "encoders": phases.encoder_learning_rate,
        "graph": phases.graph_learning_rate,
    }
    return {
        part: optimiser(
            network.parameters_of(part),
            rate,
            phases.weight_decay,
            pretrained=network.model.pretrained_parameters(),
            pretrained_learning_rate=phases.pretrained_learning_rate,
        )
        for part, rate in rates.items()
    }


def step_optimisers(
    optimisers: Mapping[Part, torch.optim.Optimizer], phases: PhasesConfig, step: int
) -> tuple[Tensor, dict[str, float]]:
    """Step the optimisers; the gradient of each is clipped to the maximum norm.

    Returns the norm of the whole gradient before clipping, and the learning rates: by part for
    parameters with random initial weights, under `pretrained` for pretrained ones, if any.
    """
    norms: list[Tensor] = []
    rates: dict[str, float] = {}
    for part, chosen in optimisers.items():
        factor = learning_rate_factor(phases, part, step)
        for group in chosen.param_groups:
            group["lr"] = group["initial_lr"] * factor
            if group["params"]:
                rates["pretrained" if group["is_pretrained"] else part] = group["lr"]
        moved = parameters_of(chosen)
        norm = nn.utils.clip_grad_norm_(moved, phases.max_gradient_norm)
        norms.append(norm.to(moved[0].device))  # without any gradient it is on the CPU
        chosen.step()
    return torch.linalg.vector_norm(torch.stack(norms)), rates
