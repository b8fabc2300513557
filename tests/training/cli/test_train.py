"""What the command line makes of its options, before anything is trained."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from transformers import BertConfig, BertModel, ViTConfig, ViTModel

from tests.training.small_network import small_config
from training.cli.train import train
from training.errors import ConfigInvalid, WeightsUnusable
from training.mmga.config import RunConfig
from training.mmga.model import build
from training.mmga.pretrained_sizes import with_image_encoder, with_text_encoder
from training.mmga.recipes import paper_literal, recipe
from training.networks.tokenizer import pretrained_tokenizer, train_tokenizer
from training.options.assignments import options, with_options
from training.options.document import from_json


def shown(*arguments: str) -> RunConfig:
    result = CliRunner().invoke(train, ["--show", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return from_json(RunConfig, result.output)


def test_show_prints_the_config_that_would_train() -> None:
    assert shown() == recipe("tiny")
    assert shown("--recipe", "smoke", "--paper-literal") == paper_literal(recipe("smoke"))
    assignments = ["objectives.weight_lm=0.5", "graph.edges=mutual"]
    given = [word for each in assignments for word in ("--set", each)]
    assert shown(*given) == with_options(recipe("tiny"), assignments)


def test_the_sampler_has_a_flag_of_its_own() -> None:
    assert shown("--sampler", "database") == shown("--set", "sampler=database")
    assert shown("--sampler", "database").sampler == "database"


def test_an_option_changes_the_literal_form_too() -> None:
    found = shown("--paper-literal", "--set", "objectives.contrast=pairwise")
    assert found.objectives.contrast == "pairwise"
    assert found.graph.literal_gate


def test_what_is_wrong_is_said_before_anything_is_opened() -> None:
    with pytest.raises(ConfigInvalid, match=r"near: graph\.edges"):
        CliRunner().invoke(train, ["--set", "edges=mutual"], catch_exceptions=False)


def test_the_help_names_every_option_of_a_few_words() -> None:
    text = CliRunner().invoke(train, ["--help"]).output
    with_choices = [option for option in options(recipe("tiny")).values() if option.choices]
    assert len(with_choices) > 5
    for option in with_choices:
        assert f"{option.name}: {', '.join(option.choices)}" in text


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders of a BERT with its tokenizer and of a ViT, untrained."""
    root = tmp_path_factory.mktemp("checkpoints")
    tokenizer = train_tokenizer(["some words of a caption"] * 3, vocabulary_size=40)
    tokenizer.save_pretrained(root / "bert")
    sizes = {"hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3}
    sizes["intermediate_size"] = 20
    bert = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=9, pad_token_id=0, **sizes)
    BertModel(bert).save_pretrained(root / "bert")
    ViTModel(ViTConfig(image_size=12, patch_size=4, **sizes)).save_pretrained(root / "vit")
    return {name: str(root / name) for name in ("bert", "vit")}


def test_encoders_have_the_sizes_of_their_weights(checkpoints: dict[str, str]) -> None:
    config = with_image_encoder(
        with_text_encoder(small_config(), checkpoints["bert"]), checkpoints["vit"]
    )
    text, image = config.text, config.image
    assert (text.width, text.num_layers, text.num_heads, text.max_tokens) == (12, 2, 3, 9)
    assert (image.width, image.image_size, image.patch_size) == (12, 12, 4)
    assert "text.pretrained=" in config.recipe
    assert "image.pretrained=" in config.recipe
    tokenizer = pretrained_tokenizer(text)
    assert text.mask_id == tokenizer.mask_token_id
    weights = BertModel.from_pretrained(checkpoints["bert"]).state_dict()
    built = build(config, 16, seed=0).text.bert.state_dict()
    assert (built["embeddings.word_embeddings.weight"]).equal(
        weights["embeddings.word_embeddings.weight"]
    )


def test_the_same_weights_again_change_nothing(checkpoints: dict[str, str]) -> None:
    config = with_text_encoder(small_config(), checkpoints["bert"])
    assert with_text_encoder(config, checkpoints["bert"]) is config


def test_a_folder_of_weights_is_kept_with_its_whole_path(
    checkpoints: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(checkpoints["bert"]).parent)
    config = with_image_encoder(with_text_encoder(small_config(), "bert"), "vit")
    assert config.text.pretrained == checkpoints["bert"]
    assert config.image.pretrained == checkpoints["vit"]


def test_weights_of_another_kind_are_refused(checkpoints: dict[str, str]) -> None:
    with pytest.raises(WeightsUnusable, match="is a vit model"):
        with_text_encoder(small_config(), checkpoints["vit"])
