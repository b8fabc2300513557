"""Options of a config by dotted name, as a command line gives them: `objectives.weight_lm=0.5`.

An option is a field of the config or of a nested part. Its type defines its values; the parts check
combinations of options.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from difflib import get_close_matches
from typing import Any, Literal, Protocol, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from training.errors import ConfigInvalid
from training.options.bounds import expected

NAME = "recipe"
"""The field with the config's name: it lists the changes and is no option itself."""


class NamedConfig(Protocol):
    """A frozen dataclass, of values and of further dataclasses, with the name of its recipe."""

    @property
    def recipe(self) -> str:
        """Its name."""


Config = TypeVar("Config", bound=NamedConfig)


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option of a config: its dotted name, its type and its value there."""

    name: str
    kind: Any
    value: Any

    @property
    def choices(self) -> tuple[str, ...]:
        """The values of an option with a fixed set of values; empty for others."""
        return get_args(self.kind) if get_origin(self.kind) is Literal else ()

    def parsed(self, text: str) -> Any:
        """The value of a text. Raises ConfigInvalid."""
        try:
            return msgspec.convert(self._value(text.strip()), self.kind, strict=False)
        except msgspec.ValidationError as error:
            wanted = f"one of {', '.join(self.choices)}" if self.choices else expected(error)
            near = get_close_matches(text, self.choices, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ConfigInvalid(f"{self.name}: {text!r} is refused, {wanted}{hint}") from error

    def _value(self, text: str) -> Any:
        """The input of msgspec: `none` is None; the numbers of a tuple are separated by commas."""
        if text.lower() == "none":
            return None
        if isinstance(self.value, tuple):
            return text.strip("()[] ").rstrip(",").split(",")
        return text


def options(config: Any) -> dict[str, Option]:
    """All options by name, in the order of the config."""
    found = [Option(name=name, kind=kind, value=value) for name, kind, value in leaves(config, "")]
    return {option.name: option for option in found if option.name != NAME}


def leaves(part: Any, prefix: str) -> Iterable[tuple[str, Any, Any]]:
    """Name, type and value of each field, those of nested parts in place of the part."""
    hints = get_type_hints(type(part), include_extras=True)
    for entry in fields(part):
        value = getattr(part, entry.name)
        if is_dataclass(value):
            yield from leaves(value, f"{prefix}{entry.name}.")
        else:
            yield f"{prefix}{entry.name}", hints[entry.name], value


def with_options(config: Config, assignments: Iterable[str]) -> Config:
    """The config with each `NAME=VALUE` set (the last of each name), and listed in its name.

    All are set at once, so that options may require each other. Raises ConfigInvalid for an unknown
    name, a value that is not of the option's type, or values that exclude each other.
    """
    known = options(config)
    given: dict[str, Any] = {}
    for assignment in assignments:
        name, separator, text = assignment.partition("=")
        if not separator:
            raise ConfigInvalid(f"{assignment!r} sets nothing: write NAME=VALUE")
        given[name.strip()] = option_of(known, name.strip()).parsed(text)
    changed = {name: value for name, value in given.items() if value != known[name].value}
    if not changed:
        return config
    suffix = ",".join(f"{name}={shown(value)}" for name, value in sorted(changed.items()))
    renamed: Config = replaced(config, changed | {NAME: f"{config.recipe}+{suffix}"})
    return renamed


def option_of(known: Mapping[str, Option], name: str) -> Option:
    """The option of this name. Raises ConfigInvalid, which suggests similar names."""
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
    raise ConfigInvalid(f"no option {name!r}; {hint}")


def replaced(part: Any, changed: Mapping[str, Any]) -> Any:
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
        own[name] = replaced(getattr(part, name), values)
    return replace(part, **own)


def shown(value: Any) -> str:
    """A value as `with_options` reads it."""
    if isinstance(value, tuple):
        return f"({','.join(str(each) for each in value)})"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
