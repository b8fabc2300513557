"""Optimisers, learning rates and the size of gradients."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from training.engine.optimiser import optimiser, parameters_of
from training.mmga.config import ScheduleConfig
from training.mmga.loss_weights import WeighedNetwork
from training.mmga.phases import Mover, learning_rate_factor


def optimisers_of(
    network: WeighedNetwork, schedule: ScheduleConfig
) -> dict[Mover, torch.optim.Optimizer]:
    """One for the encoders with the heads on them, one for the graph encoder with its own."""
    rates: dict[Mover, float] = {
        "encoders": schedule.encoder_learning_rate,
        "graph": schedule.graph_learning_rate,
    }
    return {
        mover: optimiser(
            network.parameters_of(mover),
            rate,
            schedule.weight_decay,
            pretrained=network.model.pretrained_parameters(),
            pretrained_learning_rate=schedule.pretrained_learning_rate,
        )
        for mover, rate in rates.items()
    }


def descend(
    optimisers: Mapping[Mover, torch.optim.Optimizer], schedule: ScheduleConfig, step: int
) -> tuple[Tensor, dict[str, float]]:
    """Follow the gradient, that of each optimiser cut to the greatest length.

    Returns the length of all of it before the cut, and the learning rates: by mover of what began
    at random, and as `pretrained` of what did not, where there is any.
    """
    norms: list[Tensor] = []
    rates: dict[str, float] = {}
    for mover, chosen in optimisers.items():
        factor = learning_rate_factor(schedule, mover, step)
        for group in chosen.param_groups:
            group["lr"] = group["initial_lr"] * factor
            if group["params"]:
                rates["pretrained" if group["is_pretrained"] else mover] = group["lr"]
        moved = parameters_of(chosen)
        norm = nn.utils.clip_grad_norm_(moved, schedule.max_gradient_norm)
        norms.append(norm.to(moved[0].device))  # without any gradient it is on the CPU
        chosen.step()
    return torch.linalg.vector_norm(torch.stack(norms)), rates
