"""A config as a JSON document, and back."""

import json
from dataclasses import MISSING, asdict, fields, is_dataclass
from typing import Any, get_type_hints

from training.errors import RecipeUnknown
from training.mmga.config import RunConfig


def to_json(config: RunConfig) -> str:
    """The config as one JSON document, keys sorted."""
    return json.dumps(asdict(config), sort_keys=True, indent=1)


def from_json(document: str) -> RunConfig:
    """The config that `to_json` wrote; options that it did not know yet have their defaults.

    Raises RecipeUnknown where it holds an option that this software does not know, or lacks one.
    """
    parsed: RunConfig = _build(RunConfig, json.loads(document), "")
    return parsed


def _build(kind: Any, values: dict[str, Any], prefix: str) -> Any:
    hints = get_type_hints(kind)
    known = {entry.name: entry for entry in fields(kind)}
    if unknown := [name for name in values if name not in known]:
        raise RecipeUnknown(f"no option {prefix}{unknown[0]}: a newer version wrote this config")
    given: dict[str, Any] = {}
    for name, entry in known.items():
        if name in values:
            value, nested = values[name], hints[name]
            if is_dataclass(nested):
                value = _build(nested, value, f"{prefix}{name}.")
            given[name] = tuple(value) if isinstance(value, list) else value
        elif entry.default is MISSING and entry.default_factory is MISSING:
            raise RecipeUnknown(f"option {prefix}{name} is missing: an older version wrote this")
    return kind(**given)
