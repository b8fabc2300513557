"""Types of bounded numbers of a config, and their check in constructors.

msgspec checks bounds when it reads a document; a config built in code checks itself against the
same types.
"""

import math
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, get_type_hints

import msgspec
from msgspec import Meta

from training.errors import ConfigInvalid

MAX_SIZE = 2**20
MAX_COUNT = 2**31 - 1
SMALLEST, LARGEST = 1e-9, 1e9
"""Of numbers that float32 holds with room for a product of some of them."""

Size = Annotated[int, Meta(ge=1, le=MAX_SIZE)]
"""A width, a length, or a count of at least 1."""

Count = Annotated[int, Meta(ge=0, le=MAX_COUNT)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Positive = Annotated[float, Meta(ge=SMALLEST, le=LARGEST)]
NonNegative = Annotated[float, Meta(ge=0, le=LARGEST)]


def check_bounds(part: Any, name: str) -> None:
    """Raises ConfigInvalid at the first field of a config's part that is not of its type."""
    hints = get_type_hints(type(part), include_extras=True)
    for entry in fields(part):
        value = getattr(part, entry.name)
        if is_dataclass(value):
            continue
        try:
            msgspec.convert(value, hints[entry.name])
        except msgspec.ValidationError as error:
            raise ConfigInvalid(f"{name}.{entry.name} is {value}; {expected(error)}") from error
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigInvalid(f"{name}.{entry.name} is {value}; expected a finite number")


def expected(error: msgspec.ValidationError) -> str:
    """The expectation in a message of msgspec, such as `expected int >= 1`."""
    wanted = str(error).replace("`", "").partition(", got")[0].partition(" - at")[0]
    return wanted[0].lower() + wanted[1:]
