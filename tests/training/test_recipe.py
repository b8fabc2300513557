import dataclasses

import pytest

from training.config import GraphEncoderConfig, from_json, to_json
from training.errors import RecipeUnknown
from training.recipe import RECIPES, paper_literal, recipe
from training.schedule import learning_rate_factor, num_steps, plan, stage_of


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_config_survives_json(name: str) -> None:
    config = recipe(name)
    assert from_json(to_json(config)) == config


def test_an_unknown_recipe_names_the_known_ones() -> None:
    with pytest.raises(RecipeUnknown, match="tiny"):
        recipe("huge")


def test_the_literal_form_changes_every_form_the_paper_prints() -> None:
    literal = paper_literal(recipe("tiny"))
    assert literal.graph.literal_gate
    assert literal.graph.literal_propagation
    assert (literal.graph.edges, literal.graph.node_features) == ("mutual", "X")
    assert (literal.graph.gate_input, literal.graph.gate_normalisation) == ("concat", "raw")
    assert literal.objectives.contrast == "paper_literal"
    assert literal.text.pooling == "cls"
    assert literal.recipe != "tiny"


def test_a_gate_that_could_not_tell_neighbours_apart_is_refused() -> None:
    with pytest.raises(RecipeUnknown, match="same weights"):
        GraphEncoderConfig(
            width=8, fan_outs=(4,), gate_input="concat", gate_normalisation="softmax"
        )


def test_the_plan_covers_every_step_once() -> None:
    schedule = dataclasses.replace(
        recipe("tiny").schedule,
        num_phase0_steps=3,
        num_rounds=2,
        num_encoder_steps=2,
        num_graph_steps=4,
    )
    phases = [stage_of(schedule, step).phase for step in range(num_steps(schedule))]
    one_round = ["encoders"] * 2 + ["graph"] * 4
    assert phases == ["phase0"] * 3 + one_round * 2
    assert [stage.done for stage in plan(schedule)] == [0, 3, 0, 5, 4]


def test_the_learning_rate_of_a_phase_goes_on_where_its_last_stage_ended() -> None:
    schedule = recipe("tiny").schedule
    factors: dict[str, list[float]] = {"graph": [], "encoders": []}
    for step in range(num_steps(schedule)):
        stage = stage_of(schedule, step)
        optimiser = "graph" if stage.phase == "graph" else "encoders"
        factors[optimiser].append(learning_rate_factor(schedule, stage, step))
    for values in factors.values():
        peak = values.index(max(values))
        assert max(values) == 1.0
        assert values[: peak + 1] == sorted(values[: peak + 1])
        assert values[peak:] == sorted(values[peak:], reverse=True)
        assert values[-1] < 0.11
