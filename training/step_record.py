"""What there is to tell of one training step."""

from dataclasses import dataclass

from torch import Tensor

from training.mmga.collapse import Finding
from training.mmga.phases import Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """Losses, gradient lengths and waits of a step; tensors are scalars, still on the device.

    `losses` has every term, unweighed, and the weighed `total`. `gradient_norms` has the length of
    the whole gradient before clipping, `total`, and every `num_steps_per_gradient_norm` steps that
    of each weighed term alone. `learning_rates` are by mover, and `pretrained`. `staleness` is the
    mean age, in steps, of the bank's vectors that a graph batch reads. `waited_seconds` is how long
    the step waited for its batch. `findings`, of the last step of a stage on rank 0, tell what has
    collapsed.
    """

    number: int
    phase: Phase
    losses: dict[str, Tensor]
    gradient_norms: dict[str, Tensor]
    learning_rates: dict[str, float]
    staleness: Tensor | None = None
    waited_seconds: float = 0.0
    findings: tuple[Finding, ...] = ()
