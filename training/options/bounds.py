"""The bounds of a config's numbers, told by the names of its fields.

Widths, sizes and lengths are at least 1, counts (`num_`) at least 0, rates, dropouts and smoothing
lie in [0, 1], weights and decays are not negative, temperatures and learning rates above 0.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from training.errors import RecipeUnknown

AT_LEAST_ONE = {
    "num_layers",
    "num_heads",
    "num_lm_posts",
    "num_contrast_posts",
    "num_edge_targets",
    "num_inference_posts",
    "num_microbatches",
    "num_steps_per_checkpoint",
}
ZERO_LEAVES_OUT = {"signature_width", "pad_id", "mask_id"}
SHARES = ("rate", "dropout", "smoothing")
ABOVE_ZERO = ("temperature", "learning_rate", "initializer_range", "max_gradient_norm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What a number must be, in words and as a test."""

    words: str
    holds: Callable[[Any], bool]


NATURAL = Bound(words="at least 1", holds=lambda value: value >= 1)
NOT_NEGATIVE = Bound(words="at least 0", holds=lambda value: value >= 0)
POSITIVE = Bound(words="above 0", holds=lambda value: value > 0)
SHARE = Bound(words="from 0 to 1", holds=lambda value: 0 <= value <= 1)


def check_bounds(part: Any, name: str) -> None:
    """Raises RecipeUnknown at the first number of a config's part that is out of its bounds."""
    for entry in fields(part):
        value = getattr(part, entry.name)
        values = value if isinstance(value, tuple) else (value,)
        if isinstance(value, tuple) and not value:
            raise RecipeUnknown(f"{name}.{entry.name} is empty; give one number or more")
        for each in values:
            if isinstance(each, bool) or not isinstance(each, int | float):
                continue
            bound = bound_of(entry.name, type(each))
            if not bound.holds(each):
                raise RecipeUnknown(f"{name}.{entry.name} is {each}; it has to be {bound.words}")


def bound_of(name: str, kind: type) -> Bound:
    """The bound of numbers of this name and type."""
    if name.endswith(ABOVE_ZERO):
        return POSITIVE
    if name.endswith(SHARES):
        return SHARE
    if kind is float or name in ZERO_LEAVES_OUT:
        return NOT_NEGATIVE
    if name.startswith("num_") and name not in AT_LEAST_ONE:
        return NOT_NEGATIVE
    return NATURAL
