"""A check of promotion by name."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Its flaws, none where it is passed, and the figures that it measured, as JSON values."""

    name: str
    flaws: tuple[str, ...]
    figures: Mapping[str, Any] = field(default_factory=dict)
