"""The order of a run's steps: phase 0, then rounds of the other phases.

`alternating`: (A) the encoders, then (B) the graph encoder. `joint`: both at once.
"""

import math
from dataclasses import dataclass
from typing import Literal

from training.mmga.config import PhasesConfig

Phase = Literal["phase0", "encoders", "graph", "joint"]
Part = Literal["encoders", "graph"]

PARTS: dict[Phase, tuple[Part, ...]] = {
    "phase0": ("encoders",),
    "encoders": ("encoders",),
    "graph": ("graph",),
    "joint": ("encoders", "graph"),
}
"""The part of the network that a phase trains; each part has its own optimiser."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Steps `first` to `last` of one phase."""

    phase: Phase
    first: int
    num_steps: int

    @property
    def last(self) -> int:
        """The last step."""
        return self.first + self.num_steps - 1

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts of the network that it trains."""
        return PARTS[self.phase]


def plan(phases: PhasesConfig) -> list[Stage]:
    """All stages in order, empty ones left out."""
    lengths: list[tuple[Phase, int]] = [("phase0", phases.num_phase0_steps)]
    for _ in range(phases.num_rounds):
        if phases.order == "joint":
            lengths.append(("joint", phases.num_encoder_steps))
        else:
            lengths.append(("encoders", phases.num_encoder_steps))
            lengths.append(("graph", phases.num_graph_steps))
    stages, first = [], 0
    for phase, steps in lengths:
        if steps:
            stages.append(Stage(phase=phase, first=first, num_steps=steps))
        first += steps
    return stages


def num_steps(phases: PhasesConfig) -> int:
    """Number of steps of the whole run."""
    return sum(stage.num_steps for stage in plan(phases))


def stage_of(phases: PhasesConfig, step: int) -> Stage:
    """The stage that a step belongs to."""
    for stage in plan(phases):
        if stage.first <= step <= stage.last:
            return stage
    raise IndexError(f"step {step} is outside a run of {num_steps(phases)} steps")


def learning_rate_factor(phases: PhasesConfig, part: Part, step: int) -> float:
    """Linear warm-up, then cosine decay to one tenth, over the steps of one optimiser."""
    lengths = {stage.first: stage.num_steps for stage in plan(phases) if part in stage.parts}
    total = sum(lengths.values())
    position = sum(min(max(0, step - first), length) for first, length in lengths.items())
    warmup = max(1, round(phases.warmup_rate * total))
    if position < warmup:
        return (position + 1) / warmup
    progress = (position - warmup) / max(1, total - warmup)
    return 0.1 + 0.9 * 0.5 * (1.0 + math.cos(math.pi * progress))
