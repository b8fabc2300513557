"""AdamW over trainable parameters, its state as tensors, and gradient norms."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn


def optimiser(
    parameters: Iterable[nn.Parameter],
    learning_rate: float,
    weight_decay: float,
    *,
    pretrained: Iterable[nn.Parameter] = (),
    pretrained_learning_rate: float = 0.0,
) -> torch.optim.Optimizer:
    """AdamW over trainable parameters, fused on CUDA.

    Vectors (biases, norms) have no weight decay. The parameters in `pretrained` have their own
    learning rate.
    """
    moved = [each for each in parameters if each.requires_grad]
    slow = {id(each) for each in pretrained}
    groups = [
        {
            "params": [e for e in moved if (id(e) in slow) == is_slow and (e.ndim > 1) == decays],
            "weight_decay": weight_decay if decays else 0.0,
            "initial_lr": rate,
            "is_pretrained": is_slow,
        }
        for is_slow, rate in ((False, learning_rate), (True, pretrained_learning_rate))
        for decays in (True, False)
    ]
    on_cuda = all(each.is_cuda for each in moved)
    return torch.optim.AdamW(groups, lr=learning_rate, fused=True if moved and on_cuda else None)


def parameters_of(chosen: torch.optim.Optimizer) -> list[nn.Parameter]:
    """The parameters of an optimiser."""
    return [each for group in chosen.param_groups for each in group["params"]]


def gradient_norms(
    terms: Mapping[str, Tensor], optimisers: Iterable[torch.optim.Optimizer]
) -> dict[str, Tensor]:
    """The gradient norm of each weighted term alone, over the parameters of the optimisers.

    Costs one backward pass a term and no forward pass, and retains the graph of the terms. Each
    worker measures its own gradients.
    """
    parameters = [each for chosen in optimisers for each in parameters_of(chosen)]
    return {name: _norm(term, parameters) for name, term in terms.items()}


def _norm(term: Tensor, parameters: Sequence[nn.Parameter]) -> Tensor:
    if not term.requires_grad:
        return torch.zeros_like(term)
    found = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
    return nn.utils.get_total_norm([each for each in found if each is not None])


def optimiser_state(chosen: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Moments of an optimiser by `index.name`."""
    return {
        f"{index}.{name}": value
        for index, moments in chosen.state_dict()["state"].items()
        for name, value in moments.items()
    }


def load_optimiser(chosen: torch.optim.Optimizer, state: Mapping[str, Tensor]) -> None:
    """Load the moments that `optimiser_state` returned."""
    moments: dict[int, dict[str, Tensor]] = {}
    for key, tensor in state.items():
        index, _, name = key.partition(".")
        moments.setdefault(int(index), {})[name] = tensor
    groups = chosen.state_dict()["param_groups"]
    chosen.load_state_dict({"state": moments, "param_groups": groups})
