"""Options of a run by dotted name, as a command line gives them: `objectives.weight_lm=0.5`.

An option is a field of `RunConfig` or of a part of it. Its type says what it takes; the parts
themselves refuse what excludes each other.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from difflib import get_close_matches
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from training.errors import RecipeUnknown
from training.mmga.config import RunConfig
from training.networks.weights import absolute_weights

NO = {"false": False, "no": False, "off": False, "0": False}
YES = {"true": True, "yes": True, "on": True, "1": True}
NAMED_APART = "recipe"
WEIGHTS = ("text.pretrained", "image.pretrained")


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option of a config: its dotted name, its type and its value there."""

    name: str
    kind: Any
    value: Any

    @property
    def choices(self) -> tuple[str, ...]:
        """The values of an option that takes one of a few words; none for others."""
        return get_args(self.kind) if get_origin(self.kind) is Literal else ()

    def parsed(self, text: str) -> Any:
        """The value that a text stands for. Raises RecipeUnknown."""
        try:
            value = parsed(self.kind, text.strip())
        except ValueError as error:
            near = get_close_matches(text, self.choices, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise RecipeUnknown(f"{self.name} takes {error}, not {text!r}{hint}") from error
        return absolute_weights(value) if value and self.name in WEIGHTS else value


def options(config: RunConfig) -> dict[str, Option]:
    """All options by name, in the order of the config."""
    found = [Option(name=name, kind=kind, value=value) for name, kind, value in leaves(config, "")]
    return {option.name: option for option in found if option.name != NAMED_APART}


def leaves(part: Any, prefix: str) -> Iterable[tuple[str, Any, Any]]:
    """Name, type and value of each field, those of nested parts in place of the part."""
    hints = get_type_hints(type(part))
    for entry in fields(part):
        value = getattr(part, entry.name)
        if is_dataclass(value):
            yield from leaves(value, f"{prefix}{entry.name}.")
        else:
            yield f"{prefix}{entry.name}", hints[entry.name], value


def with_options(config: RunConfig, assignments: Iterable[str]) -> RunConfig:
    """The config with `NAME=VALUE` taken over, the last of a name; its recipe's name tells them.

    All are taken over at once, so that two may need each other. Raises RecipeUnknown for a name
    that is none, a value that its type does not take, or values that exclude each other.
    """
    known = options(config)
    given: dict[str, Any] = {}
    for assignment in assignments:
        name, separator, text = assignment.partition("=")
        if not separator:
            raise RecipeUnknown(f"{assignment!r} sets nothing: write NAME=VALUE")
        given[name.strip()] = option_of(known, name.strip()).parsed(text)
    changed = {name: value for name, value in given.items() if value != known[name].value}
    if not changed:
        return config
    told = ",".join(f"{name}={shown(value)}" for name, value in sorted(changed.items()))
    return replace(taken_over(config, changed), recipe=f"{config.recipe}+{told}")


def option_of(known: Mapping[str, Option], name: str) -> Option:
    """The option of this name. Raises RecipeUnknown with names that are near."""
    if name in known:
        return known[name]
    ends: dict[str, list[str]] = {}
    for each in known:
        ends.setdefault(each.rpartition(".")[2], []).append(each)
    last = name.rpartition(".")[2]
    near = [*get_close_matches(name, known, n=3), *ends.get(last, ())]
    for end in get_close_matches(last, ends, n=2):
        near += ends[end]
    hint = f"near: {', '.join(dict.fromkeys(near))}" if near else "`mmga train --show` prints all"
    raise RecipeUnknown(f"no option {name!r}; {hint}")


def taken_over(part: Any, changed: Mapping[str, Any]) -> Any:
    """A copy of a config, or a part of it, with these values by dotted name."""
    own: dict[str, Any] = {}
    nested: dict[str, dict[str, Any]] = {}
    for name, value in changed.items():
        first, dot, rest = name.partition(".")
        if dot:
            nested.setdefault(first, {})[rest] = value
        else:
            own[name] = value
    for name, values in nested.items():
        own[name] = taken_over(getattr(part, name), values)
    return replace(part, **own)


def parsed(kind: Any, text: str) -> Any:
    """A value of the type from its text. Raises ValueError that says what the type takes."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        if text not in arguments:
            raise ValueError(f"one of {', '.join(arguments)}")
        return text
    if origin in (UnionType, Union):
        [inner] = [each for each in arguments if each is not type(None)]
        return optional(inner, text)
    if origin is tuple:
        return numbers(text)
    if kind is bool:
        return boolean(text)
    return number(kind, text) if kind in (int, float) else text


def optional(inner: Any, text: str) -> Any:
    """`none`, or a value of the inner type."""
    if text.lower() == "none":
        return None
    try:
        return parsed(inner, text)
    except ValueError as error:
        raise ValueError(f"none or {error}") from error


def boolean(text: str) -> bool:
    """Yes or no, in the words that people use."""
    if text.lower() not in YES | NO:
        raise ValueError("true or false")
    return (YES | NO)[text.lower()]


def number(kind: Any, text: str) -> Any:
    """A whole or a finite number."""
    expected = "a whole number" if kind is int else "a number"
    try:
        value = kind(text)
    except ValueError as error:
        raise ValueError(expected) from error
    if not math.isfinite(value):
        raise ValueError(expected)
    return value


def numbers(text: str) -> tuple[int, ...]:
    """Whole numbers with commas between them, brackets or not."""
    try:
        return tuple(int(each) for each in text.strip("()[] ").rstrip(",").split(","))
    except ValueError as error:
        raise ValueError("whole numbers with commas between them") from error


def shown(value: Any) -> str:
    """A value as `with_options` reads it."""
    if isinstance(value, tuple):
        return f"({','.join(str(each) for each in value)})"
    return value if isinstance(value, str) else json.dumps(value)
