"""compose.yaml as Docker Compose reads it: merged, and its variables filled in."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "compose.yaml"
ENV_EXAMPLE = ROOT / ".env.example"
VARIABLE = re.compile(
    r"\$(?:(?P<escaped>\$)|\{(?P<name>\w+)(?:(?P<rule>:?[-?])(?P<text>[^}]*))?\}|(?P<wrong>))"
)
ASSIGNMENT = re.compile(r"(?P<commented>#?)(?P<name>[A-Z][A-Z0-9_]*)=(?P<value>.*)")


class VariableMissing(Exception):
    """A required variable has no value; the message is the one that compose.yaml gives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvExample:
    """What .env.example sets, leaves to be set, and shows as defaults in comments."""

    values: Mapping[str, str]
    defaults: Mapping[str, str]

    @property
    def secrets(self) -> set[str]:
        """What a person has to set."""
        return {name for name, value in self.values.items() if not value}

    @property
    def names(self) -> set[str]:
        """All variables that it explains."""
        return {*self.values, *self.defaults}


def env_example() -> EnvExample:
    """The file of this repository."""
    found = list(map(ASSIGNMENT.fullmatch, ENV_EXAMPLE.read_text(encoding="utf-8").splitlines()))
    return EnvExample(
        values={each["name"]: each["value"] for each in found if each and not each["commented"]},
        defaults={each["name"]: each["value"] for each in found if each and each["commented"]},
    )


def raw_document(path: Path = COMPOSE) -> dict[str, Any]:
    """The file with its anchors merged and its variables as they stand."""
    document: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return document


def document(variables: Mapping[str, str], path: Path = COMPOSE) -> dict[str, Any]:
    """The file with its variables filled in. Raises VariableMissing."""
    filled: dict[str, Any] = _filled(raw_document(path), variables)
    return filled


def variables_of(path: Path = COMPOSE) -> dict[str, str | None]:
    """The variables that the file names, with the default of each; None where it has none."""
    text = "\n".join(_strings(raw_document(path)))
    return {
        match["name"]: match["text"] if (match["rule"] or "").endswith("-") else None
        for match in VARIABLE.finditer(text)
        if match["name"]
    }


def interpolated(text: str, variables: Mapping[str, str]) -> str:
    """The text with `${NAME}`, `${NAME:-default}`, `${NAME:?message}` and `$$` replaced.

    Raises VariableMissing, and ValueError for any other dollar, as Compose does.
    """

    def value(match: re.Match[str]) -> str:
        if match["escaped"]:
            return "$"
        if match["name"] is None:
            raise ValueError(f"a dollar that begins no variable, write $$: {text}")
        given, rule = variables.get(match["name"]), match["rule"] or ""
        if given is not None and (given or not rule.startswith(":")):
            return given
        if rule.endswith("?"):
            raise VariableMissing(f"{match['name']}: {match['text']}")
        return match["text"] or ""

    return VARIABLE.sub(value, text)


def _filled(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return interpolated(value, variables)
    if isinstance(value, dict):
        return {key: _filled(each, variables) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, variables) for each in value]
    return value


def _strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for each in value.values() for text in _strings(each)]
    if isinstance(value, list):
        return [text for each in value for text in _strings(each)]
    return [value] if isinstance(value, str) else []
