import dataclasses
from pathlib import Path

import pytest
import torch

from tests.training.small_network import with_objectives, with_phases, with_users
from training.errors import ConfigInvalid
from training.mmga.config import GraphEncoderConfig, RunConfig
from training.mmga.model import MMGA
from training.mmga.recipes import RECIPES, paper_literal, recipe
from training.options.assignments import options
from training.options.document import from_json, to_json


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_config_survives_json(name: str) -> None:
    config = recipe(name)
    assert from_json(RunConfig, to_json(config)) == config


def test_an_unknown_recipe_names_the_known_ones() -> None:
    with pytest.raises(ConfigInvalid, match="tiny"):
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


def test_the_literal_form_is_one_whatever_was_chosen_before() -> None:
    config = recipe("tiny")
    chosen = with_users(config, post_pooling="attention", fusion="gated", modality_dropout=0.5)
    chosen = with_objectives(chosen, language_modelling="causal", weighting="uncertainty")
    chosen = with_phases(chosen, order="joint")
    graph = dataclasses.replace(
        config.graph, gate_normalisation="tanh", per_layer_gates=True, edges="follows+mentions"
    )
    chosen = dataclasses.replace(chosen, graph=graph)
    assert paper_literal(chosen) == paper_literal(config)


def test_base_is_vit_b_16_and_bert_base_in_bf16() -> None:
    config = recipe("base")
    with torch.device("meta"):
        model = MMGA(config, num_features=16)
    fewer_positions_and_segments = (512 - config.text.max_tokens + 1) * 768
    assert num_weights(model.text) == 108_891_648 - fewer_positions_and_segments
    assert num_weights(model.image) == 85_798_656
    assert config.compute.precision == "bf16"
    assert config.phases.num_microbatches > 1


def num_weights(part: torch.nn.Module) -> int:
    return sum(each.numel() for each in part.parameters())


def test_the_document_of_the_model_names_every_option() -> None:
    text = (Path(__file__).parents[3] / "docs/mmga.md").read_text(encoding="utf-8")
    known = set(options(recipe("tiny"))) - {"recipe"}
    named = {name for name in known if f"`{name}`" in text or f"`{name}=" in text}
    alike = {f"image.{name.partition('.')[2]}" for name in named if name.startswith("text.")}
    assert known - named - alike == set()


def test_a_gate_that_could_not_tell_neighbours_apart_is_refused() -> None:
    with pytest.raises(ConfigInvalid, match="same weights"):
        GraphEncoderConfig(
            width=8, fan_outs=(4,), gate_input="concat", gate_normalisation="softmax"
        )
