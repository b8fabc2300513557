"""The order of a run's steps: phase 0, then rounds of the other phases.

`alternating`: (A) the encoders, then (B) the graph encoder. `joint`: both at once.
"""

import math
from dataclasses import dataclass
from typing import Literal

from training.mmga.config import ScheduleConfig

Phase = Literal["phase0", "encoders", "graph", "joint"]
Mover = Literal["encoders", "graph"]

MOVERS: dict[Phase, tuple[Mover, ...]] = {
    "phase0": ("encoders",),
    "encoders": ("encoders",),
    "graph": ("graph",),
    "joint": ("encoders", "graph"),
}
"""Whose parameters a phase moves; each of the two has an optimiser of its own."""


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
    def movers(self) -> tuple[Mover, ...]:
        """Whose parameters it moves."""
        return MOVERS[self.phase]


def plan(schedule: ScheduleConfig) -> list[Stage]:
    """All stages in order, empty ones left out."""
    lengths: list[tuple[Phase, int]] = [("phase0", schedule.num_phase0_steps)]
    for _ in range(schedule.num_rounds):
        if schedule.order == "joint":
            lengths.append(("joint", schedule.num_encoder_steps))
        else:
            lengths.append(("encoders", schedule.num_encoder_steps))
            lengths.append(("graph", schedule.num_graph_steps))
    stages, first = [], 0
    for phase, steps in lengths:
        if steps:
            stages.append(Stage(phase=phase, first=first, num_steps=steps))
        first += steps
    return stages


def num_steps(schedule: ScheduleConfig) -> int:
    """Length of the whole run."""
    return sum(stage.num_steps for stage in plan(schedule))


def stage_of(schedule: ScheduleConfig, step: int) -> Stage:
    """The stage that a step belongs to."""
    for stage in plan(schedule):
        if stage.first <= step <= stage.last:
            return stage
    raise IndexError(f"step {step} is outside a run of {num_steps(schedule)} steps")


def learning_rate_factor(schedule: ScheduleConfig, mover: Mover, step: int) -> float:
    """Linear warm-up, then half a cosine down to a tenth, over the steps of one optimiser."""
    lengths = {stage.first: stage.num_steps for stage in plan(schedule) if mover in stage.movers}
    total = sum(lengths.values())
    position = sum(min(max(0, step - first), length) for first, length in lengths.items())
    warmup = max(1, round(schedule.warmup_rate * total))
    if position < warmup:
        return (position + 1) / warmup
    progress = (position - warmup) / max(1, total - warmup)
    return 0.1 + 0.9 * 0.5 * (1.0 + math.cos(math.pi * progress))
