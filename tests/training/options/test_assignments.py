"""Options by dotted name, what they refuse, and configs that other versions wrote."""

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from training.errors import RecipeUnknown
from training.mmga.config import GraphEncoderConfig
from training.mmga.recipes import RECIPES, paper_literal, recipe
from training.options.assignments import options, with_options
from training.options.document import from_json, to_json

TINY = recipe("tiny")


@pytest.mark.parametrize(
    ("assignment", "part", "name", "value"),
    [
        ("objectives.weight_lm=0.5", "objectives", "weight_lm", 0.5),
        ("graph.edges=mutual", "graph", "edges", "mutual"),
        ("graph.fan_outs=15,10,5", "graph", "fan_outs", (15, 10, 5)),
        ("graph.fan_outs=(7,)", "graph", "fan_outs", (7,)),
        ("graph.per_layer_gates=yes", "graph", "per_layer_gates", True),
        ("text.pretrained=some/folder", "text", "pretrained", "some/folder"),
        ("text.num_trained_layers = 1", "text", "num_trained_layers", 1),
        ("schedule.num_rounds=0", "schedule", "num_rounds", 0),
        ("compute.precision=bf16", "compute", "precision", "bf16"),
    ],
)
def test_an_option_changes_its_own_field_alone(
    assignment: str, part: str, name: str, value: Any
) -> None:
    found = with_options(TINY, [assignment])
    assert getattr(getattr(found, part), name) == value
    assert type(getattr(getattr(found, part), name)) is type(value)
    changed = replace(getattr(TINY, part), **{name: value})
    assert replace(found, recipe="tiny") == replace(TINY, **{part: changed})
    assert found.recipe.startswith(f"tiny+{part}.{name}=")


def test_options_are_taken_over_together_and_the_last_of_a_name_counts() -> None:
    """Each of these two alone would be refused, or refuse the other."""
    literal = with_options(TINY, ["graph.literal_gate=on", "graph.gate_input=concat"])
    assert literal.graph.literal_gate
    twice = with_options(TINY, ["sampler=database", "sampler=snapshot"])
    assert twice == TINY


def test_a_default_that_is_said_changes_nothing_not_even_the_name() -> None:
    assert with_options(TINY, ["graph.edges=follows"]) is TINY


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_every_option_reads_what_it_shows(name: str) -> None:
    config = paper_literal(recipe(name))
    found = options(config)
    assert len(found) > 60
    for option in found.values():
        text = ",".join(map(str, option.value)) if isinstance(option.value, tuple) else option.value
        assert option.parsed(str(text)) == option.value, option.name


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("graph.edges", "'graph.edges' sets nothing: write NAME=VALUE"),
        ("edges=mutual", "no option 'edges'; near: graph.edges"),
        ("objectives.weight_ml=1", "near: .*objectives.weight_lm"),
        ("image.num_layer=1", "near: image.num_layers, .*text.num_layers"),
        ("zzzz=1", "no option 'zzzz'; `mmga train --show` prints all"),
        ("recipe=huge", "no option 'recipe'"),
        ("graph=1", "no option 'graph'"),
        ("graph.edges=mutal", "one of mutual, follows, .*, not 'mutal'; did you mean mutual?"),
        ("schedule.num_rounds=1.5", "schedule.num_rounds takes a whole number, not '1.5'"),
        ("objectives.weight_lm=nan", "objectives.weight_lm takes a number, not 'nan'"),
        ("graph.per_layer_gates=maybe", "takes true or false, not 'maybe'"),
        ("graph.fan_outs=8,x", "takes whole numbers with commas between them"),
        ("text.num_trained_layers=few", "takes none or a whole number, not 'few'"),
        ("graph.fan_outs=8,0", "graph.fan_outs is 0; it has to be at least 1"),
        ("objectives.weight_lm=-1", "objectives.weight_lm is -1.0; it has to be at least 0"),
        ("objectives.lm_mask_rate=15", "objectives.lm_mask_rate is 15.0; it has to be from 0 to 1"),
        ("objectives.contrast_temperature=0", "has to be above 0"),
        ("text.num_heads=3", "text.num_heads 3 does not divide text.width 128"),
        ("text.num_trained_layers=3", "text.num_trained_layers is 3 of 2 layers"),
        ("image.patch_size=15", "image.patch_size 15 does not divide image.image_size 64"),
        ("graph.literal_gate=true", "take gate_input concat"),
        ("graph.literal_propagation=true graph.dropout=0.1", "take graph.dropout 0"),
    ],
)
def test_what_is_refused_and_in_which_words(assignment: str, message: str) -> None:
    with pytest.raises(RecipeUnknown) as caught:
        with_options(TINY, assignment.split())
    text = str(caught.value)
    assert re.search(message.replace("?", r"\?") if message.endswith("?") else message, text)
    assert "\n" not in text


def test_an_empty_tuple_is_refused() -> None:
    with pytest.raises(RecipeUnknown, match="fan_outs is empty"):
        GraphEncoderConfig(width=8, fan_outs=())


def test_a_config_of_before_an_option_has_its_default() -> None:
    document = json.loads(to_json(TINY))
    del document["sampler"], document["graph"]["per_layer_gates"], document["compute"]
    assert from_json(json.dumps(document)) == TINY


def test_a_config_of_another_version_is_refused_in_one_line() -> None:
    document = json.loads(to_json(TINY))
    document["graph"]["depth"] = 3
    with pytest.raises(RecipeUnknown, match=r"no option graph\.depth: a newer version"):
        from_json(json.dumps(document))
    del document["graph"]["depth"], document["text"]["width"]
    with pytest.raises(RecipeUnknown, match=r"option text\.width is missing"):
        from_json(json.dumps(document))
