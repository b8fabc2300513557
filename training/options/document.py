"""A config as a JSON document, and back."""

from typing import Any, TypeVar

import msgspec

from training.errors import ConfigInvalid
from training.options.bounds import expected

Config = TypeVar("Config")


def to_json(config: Any) -> str:
    """The config as one JSON document, keys sorted."""
    return msgspec.json.format(msgspec.json.encode(config, order="sorted"), indent=1).decode()


def from_json(kind: type[Config], document: str | bytes) -> Config:
    """The config that `to_json` wrote; options that the document lacks have their defaults.

    Raises ConfigInvalid where it holds an option that this software does not know, lacks one, or
    has a value out of bounds.
    """
    values = msgspec.json.decode(document)
    try:
        config = msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise ConfigInvalid(
            f"another version wrote this config: {expected(error)}{place(error)}"
        ) from error
    if unknown := sorted(names(values) - names(msgspec.to_builtins(config))):
        raise ConfigInvalid(f"another version wrote this config: no option {unknown[0]}")
    return config


def names(values: Any, prefix: str = "") -> set[str]:
    """The dotted names of all values in nested mappings."""
    if not isinstance(values, dict):
        return {prefix.removesuffix(".")}
    return {name for key, each in values.items() for name in names(each, f"{prefix}{key}.")}


def place(error: msgspec.ValidationError) -> str:
    """The position in the document, as a dotted name."""
    return str(error).partition(" - at ")[2].replace("`$.", " in `")
