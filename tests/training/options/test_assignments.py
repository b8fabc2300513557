"""Options by dotted name, what they refuse, and configs that other versions wrote."""

import json
import math
import re
from dataclasses import replace
from typing import Any

import pytest

from training.errors import ConfigInvalid
from training.mmga.config import GraphEncoderConfig, RunConfig
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
        ("graph.per_layer_gates=True", "graph", "per_layer_gates", True),
        ("text.pretrained=some/folder", "text", "pretrained", "some/folder"),
        ("text.num_trained_layers = 1", "text", "num_trained_layers", 1),
        ("phases.num_rounds=0", "phases", "num_rounds", 0),
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
    literal = with_options(TINY, ["graph.literal_gate=1", "graph.gate_input=concat"])
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
        (
            "graph.edges=mutal",
            "'mutal' is refused, one of mutual, follows, .*; did you mean mutual?",
        ),
        ("phases.num_rounds=1.5", "phases.num_rounds: '1.5' is refused, expected int"),
        ("objectives.weight_lm=inf", "'inf' is refused, expected float <= 1000000000.0"),
        ("objectives.weight_lm=nan", "'nan' is refused, expected float"),
        ("objectives.weight_lm=1e39", "'1e39' is refused, expected float <= 1000000000.0"),
        ("objectives.contrast_temperature=1e-320", "is refused, expected float >= 1e-09"),
        ("graph.width=1048577", "'1048577' is refused, expected int <= 1048576"),
        ("phases.num_rounds=2147483648", "is refused, expected int <= 2147483647"),
        ("phases.num_rounds=99999999999999999999", "is refused, expected int"),
        ("text.max_tokens=1", "text.max_tokens: '1' is refused, expected int >= 3"),
        ("text.vocabulary_size=5", "text.num_special 5 leaves no word in a text.vocabulary_size"),
        ("text.mask_id=0", "text.pad_id 0 and text.mask_id 0 are not two of the first"),
        ("text.mask_id=7000", "are not two of the first text.num_special 5 ids"),
        ("objectives.weight_lm=much", "objectives.weight_lm: 'much' is refused, expected float"),
        ("graph.per_layer_gates=maybe", "graph.per_layer_gates: 'maybe' is refused, expected bool"),
        ("graph.fan_outs=8,x", "graph.fan_outs: '8,x' is refused, expected int"),
        (
            "text.num_trained_layers=few",
            "text.num_trained_layers: 'few' is refused, expected int | null",
        ),
        ("graph.fan_outs=8,0", "graph.fan_outs: '8,0' is refused, expected int >= 1"),
        ("objectives.weight_lm=-1", "objectives.weight_lm: '-1' is refused, expected float >= 0"),
        (
            "objectives.lm_mask_rate=15",
            "objectives.lm_mask_rate: '15' is refused, expected float <= 1",
        ),
        (
            "objectives.contrast_temperature=0",
            "contrast_temperature: '0' is refused, expected float >= 1e-09",
        ),
        ("text.num_heads=3", "text.num_heads 3 does not divide text.width 128"),
        ("text.num_trained_layers=3", "text.num_trained_layers is 3 of 2 layers"),
        ("image.patch_size=15", "image.patch_size 15 does not divide image.image_size 64"),
        ("graph.literal_gate=true", "take gate_input concat"),
        ("graph.literal_propagation=true graph.dropout=0.1", "take graph.dropout 0"),
    ],
)
def test_what_is_refused_and_in_which_words(assignment: str, message: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        with_options(TINY, assignment.split())
    text = str(caught.value)
    assert re.search(message.replace("?", r"\?") if message.endswith("?") else message, text)
    assert "\n" not in text


def test_an_empty_tuple_is_refused() -> None:
    with pytest.raises(ConfigInvalid, match=r"fan_outs is .*; expected array of length >= 1"):
        GraphEncoderConfig(width=8, fan_outs=())


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("width", 0, "graph.width is 0; expected int >= 1"),
        ("width", 8.5, "graph.width is 8.5; expected int"),
        ("dropout", 1.5, "graph.dropout is 1.5; expected float <= 1"),
        ("dropout", math.nan, "graph.dropout is nan; expected float >= 0"),
        ("edges", "friends", "graph.edges is friends; invalid enum value 'friends'"),
    ],
)
def test_a_config_that_is_built_in_code_checks_itself(name: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigInvalid, match=re.escape(message)):
        replace(TINY.graph, **{name: value})


def test_a_config_of_before_an_option_has_its_default() -> None:
    document = json.loads(to_json(TINY))
    del document["sampler"], document["graph"]["per_layer_gates"], document["compute"]
    assert from_json(RunConfig, json.dumps(document)) == TINY


def test_a_config_of_another_version_is_refused_in_one_line() -> None:
    document = json.loads(to_json(TINY))
    document["graph"]["depth"] = 3
    with pytest.raises(ConfigInvalid, match=r"another version .* no option graph\.depth"):
        from_json(RunConfig, json.dumps(document))
    del document["graph"]["depth"], document["text"]["width"]
    with pytest.raises(ConfigInvalid, match=r"another version .* missing required field"):
        from_json(RunConfig, json.dumps(document))
