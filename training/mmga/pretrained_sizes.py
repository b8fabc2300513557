"""Sets pretrained encoders in a run config, and the sizes of these encoders.

A recipe states weights and sizes; on the command line a user names the weights only.
"""

from dataclasses import replace
from typing import Any

from transformers import AutoTokenizer

from training.mmga.config import RunConfig
from training.networks.pretrained import IMAGE_SIZES, TEXT_SIZES
from training.networks.weights import (
    absolute_weights,
    described,
    from_cache_or_hub,
    one_line,
    source,
)


def with_text_encoder(config: RunConfig, name: str) -> RunConfig:
    """The config with these weights of a BERT, its sizes and the ids of its tokenizer.

    `name` is a folder, `package:NAME/FOLDER` or a name on the hub. Raises WeightsUnusable.
    """
    name = absolute_weights(name)
    found = described(name, "bert")
    with one_line(name):
        tokenizer = from_cache_or_hub(AutoTokenizer, source(name))
    text = replace(
        config.text,
        **sizes(found, TEXT_SIZES),
        pretrained=name,
        max_tokens=min(config.text.max_tokens, found.max_position_embeddings),
        mask_id=tokenizer.mask_token_id,
        num_special=1 + max(tokenizer.all_special_ids),
    )
    return config if text == config.text else replace(renamed(config, "text", name), text=text)


def with_image_encoder(config: RunConfig, name: str) -> RunConfig:
    """The config with these weights of a ViT and its sizes; `name` as in `with_text_encoder`."""
    name = absolute_weights(name)
    image = replace(config.image, **sizes(described(name, "vit"), IMAGE_SIZES), pretrained=name)
    return config if image == config.image else replace(renamed(config, "image", name), image=image)


def sizes(found: Any, names: dict[str, str]) -> dict[str, Any]:
    """The sizes in the config of pretrained weights, by field of our config."""
    own = {name: option.rpartition(".")[2] for name, option in names.items() if option}
    return {field: getattr(found, name) for name, field in own.items()}


def renamed(config: RunConfig, part: str, name: str) -> RunConfig:
    """The config with a recipe name that includes the name of the weights."""
    return replace(config, recipe=f"{config.recipe}+{part}.pretrained={name}")
