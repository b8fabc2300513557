"""Which phase a step belongs to, and how fast it moves what it moves."""

import dataclasses

import pytest

from training.mmga.config import Order, PhasesConfig
from training.mmga.phases import Part, learning_rate_factor, num_steps, plan, stage_of
from training.mmga.recipes import recipe


def phases(order: Order) -> PhasesConfig:
    return dataclasses.replace(
        recipe("tiny").phases,
        order=order,
        num_phase0_steps=3,
        num_rounds=2,
        num_encoder_steps=2,
        num_graph_steps=4,
    )


@pytest.mark.parametrize(
    ("order", "one_round"),
    [("alternating", ["encoders"] * 2 + ["graph"] * 4), ("joint", ["joint"] * 2)],
)
def test_the_plan_covers_every_step_once(order: Order, one_round: list[str]) -> None:
    chosen = phases(order)
    found = [stage_of(chosen, step).phase for step in range(num_steps(chosen))]
    assert found == ["phase0"] * 3 + one_round * 2
    with pytest.raises(IndexError, match="outside a run"):
        stage_of(chosen, num_steps(chosen))


def test_stages_of_no_steps_are_left_out() -> None:
    bare = dataclasses.replace(phases("alternating"), num_phase0_steps=0, num_graph_steps=0)
    assert [(stage.phase, stage.first, stage.last) for stage in plan(bare)] == [
        ("encoders", 0, 1),
        ("encoders", 2, 3),
    ]


@pytest.mark.parametrize("order", ["alternating", "joint"])
@pytest.mark.parametrize("part", ["encoders", "graph"])
def test_the_learning_rate_goes_on_where_the_last_stage_of_its_optimiser_ended(
    order: Order, part: Part
) -> None:
    chosen = dataclasses.replace(recipe("tiny").phases, order=order)
    values = [
        learning_rate_factor(chosen, part, step)
        for step in range(num_steps(chosen))
        if part in stage_of(chosen, step).parts
    ]
    peak = values.index(max(values))
    assert max(values) == 1.0
    assert values[: peak + 1] == sorted(values[: peak + 1])
    assert values[peak:] == sorted(values[peak:], reverse=True)
    assert values[-1] < 0.11
