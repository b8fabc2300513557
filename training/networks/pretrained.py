"""Loads pretrained encoders from a folder, an installed package or the Hugging Face hub.

The run's config states the sizes of an encoder, so a saved run can be loaded without the pretrained
weights; weights of other sizes are refused.
"""

from collections.abc import Mapping
from typing import Any

import torch
from transformers import BertForMaskedLM, BertModel, ViTModel

from training.errors import WeightsUnusable
from training.networks.config import ImageEncoderConfig, TextEncoderConfig
from training.networks.encoders import ImageEncoder, TextEncoder, bert_config, vit_config
from training.networks.language_modelling import MaskedLanguageModelling
from training.networks.weights import (
    described,
    from_cache_or_hub,
    one_line,
    source,
    weights,
)

TEXT_SIZES = {
    "vocab_size": "text.vocabulary_size",
    "hidden_size": "text.width",
    "num_hidden_layers": "text.num_layers",
    "num_attention_heads": "text.num_heads",
    "intermediate_size": "text.feedforward_width",
    "pad_token_id": "text.pad_id",
    "hidden_act": "",
    "layer_norm_eps": "",
}
IMAGE_SIZES = {
    "image_size": "image.image_size",
    "patch_size": "image.patch_size",
    "hidden_size": "image.width",
    "num_hidden_layers": "image.num_layers",
    "num_attention_heads": "image.num_heads",
    "intermediate_size": "image.feedforward_width",
    "num_channels": "",
    "qkv_bias": "",
    "hidden_act": "",
    "layer_norm_eps": "",
}


def check_text(config: TextEncoderConfig) -> None:
    """Raises WeightsUnusable where pretrained weights are named that cannot be had or used."""
    if config.pretrained is None:
        return
    found = described(config.pretrained, "bert")
    check_sizes(config.pretrained, found, bert_config(config), TEXT_SIZES)
    if found.max_position_embeddings < config.max_tokens:
        raise WeightsUnusable(
            f"{config.pretrained} has positions for {found.max_position_embeddings} tokens; "
            f"set text.max_tokens to no more than that (it is {config.max_tokens})"
        )


def check_image(config: ImageEncoderConfig) -> None:
    """Raises WeightsUnusable where pretrained weights are named that cannot be had or used."""
    if config.pretrained is not None:
        found = described(config.pretrained, "vit")
        check_sizes(config.pretrained, found, vit_config(config), IMAGE_SIZES)


def fill_text(encoder: TextEncoder) -> None:
    """Load the pretrained weights that the encoder's config names, if any.

    Of the position vectors the first `max_tokens` are taken. Raises WeightsUnusable.
    """
    config = encoder.config
    if config.pretrained is None:
        return
    check_text(config)
    state = weights(config.pretrained, BertModel)
    for name, rows in (("position", config.max_tokens), ("token_type", 1)):
        key = f"embeddings.{name}_embeddings.weight"
        state[key] = state[key][:rows]
    encoder.bert.load_state_dict(state)


def fill_head(head: MaskedLanguageModelling, config: TextEncoderConfig) -> bool:
    """Load the pretrained masked language modelling head; return whether the weights have one.

    A random head would degrade the pretrained encoder at first. Raises WeightsUnusable.
    """
    if config.pretrained is None:
        return False
    with one_line(config.pretrained):
        network, about = from_cache_or_hub(
            BertForMaskedLM,
            source(config.pretrained),
            output_loading_info=True,
            dtype=torch.float32,
        )
    found = network.cls.predictions
    if any(name.startswith("cls.predictions.") for name in about["missing_keys"]):
        return False
    head.transform.load_state_dict(found.transform.dense.state_dict())
    head.norm.load_state_dict(found.transform.LayerNorm.state_dict())
    head.bias.data.copy_(found.bias.data)
    return True


def fill_image(encoder: ImageEncoder) -> None:
    """Load the pretrained weights that the encoder's config names, if any.

    Raises WeightsUnusable.
    """
    config = encoder.config
    if config.pretrained is None:
        return
    check_image(config)
    encoder.vit.load_state_dict(weights(config.pretrained, ViTModel))


def check_sizes(pretrained: str, found: Any, wanted: Any, names: Mapping[str, str]) -> None:
    """Raises WeightsUnusable at the first size in which the weights are not the config's."""
    for name, option in names.items():
        there, here = getattr(found, name), getattr(wanted, name)
        if there != here:
            remedy = f"set {option} to {there}" if option else "name other weights"
            raise WeightsUnusable(f"{pretrained} has {name} {there}, not {here}; {remedy}")
