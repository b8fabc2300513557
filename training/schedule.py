"""The order of a run's steps: phase 0, then rounds of (A) encoders and (B) graph encoder."""

import math
from dataclasses import dataclass
from typing import Literal

from training.config import ScheduleConfig

Phase = Literal["phase0", "encoders", "graph"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Steps `first` to `first + num_steps - 1` of one phase.

    `done` steps of the same optimiser come before it, of `total` in the run: its learning rate
    depends on these alone.
    """

    phase: Phase
    first: int
    num_steps: int
    done: int
    total: int


def plan(schedule: ScheduleConfig) -> list[Stage]:
    """All stages in order, empty ones left out."""
    lengths: list[tuple[Phase, int]] = [("phase0", schedule.num_phase0_steps)]
    for _ in range(schedule.num_rounds):
        lengths.append(("encoders", schedule.num_encoder_steps))
        lengths.append(("graph", schedule.num_graph_steps))
    total_graph = schedule.num_rounds * schedule.num_graph_steps
    total_encoder = sum(steps for _, steps in lengths) - total_graph
    stages, first, done = [], 0, {"graph": 0, "encoders": 0}
    for phase, steps in lengths:
        optimiser = "graph" if phase == "graph" else "encoders"
        if steps:
            stages.append(
                Stage(
                    phase=phase,
                    first=first,
                    num_steps=steps,
                    done=done[optimiser],
                    total=total_graph if optimiser == "graph" else total_encoder,
                )
            )
        first += steps
        done[optimiser] += steps
    return stages


def num_steps(schedule: ScheduleConfig) -> int:
    """Length of the whole run."""
    return sum(stage.num_steps for stage in plan(schedule))


def stage_of(schedule: ScheduleConfig, step: int) -> Stage:
    """The stage that a step belongs to."""
    for stage in plan(schedule):
        if stage.first <= step < stage.first + stage.num_steps:
            return stage
    raise IndexError(f"step {step} is outside a run of {num_steps(schedule)} steps")


def learning_rate_factor(schedule: ScheduleConfig, stage: Stage, step: int) -> float:
    """Linear warm-up, then half a cosine down to a tenth."""
    position = stage.done + step - stage.first
    warmup = max(1, round(schedule.warmup_rate * stage.total))
    if position < warmup:
        return (position + 1) / warmup
    progress = (position - warmup) / max(1, stage.total - warmup)
    return 0.1 + 0.9 * 0.5 * (1.0 + math.cos(math.pi * progress))
