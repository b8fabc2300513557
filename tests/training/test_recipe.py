import pytest

from training.config import GraphEncoderConfig, from_json, to_json
from training.errors import RecipeUnknown
from training.recipe import RECIPES, paper_literal, recipe


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
