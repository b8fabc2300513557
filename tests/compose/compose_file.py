"""compose.yaml with its variables filled in, and what .env.example says of them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "compose.yaml"
ENV_EXAMPLE = ROOT / ".env.example"
VARIABLE = re.compile(r"\$\{(?P<name>\w+):(?P<rule>[-?])(?P<text>[^}]*)\}")
"""`${NAME:-default}` or `${NAME:?message}`: compose.yaml uses no other form."""
ASSIGNMENT = re.compile(r"(?P<commented>#?)(?P<name>[A-Z][A-Z0-9_]*)=(?P<value>.*)")


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


def text() -> str:
    """The file as it stands."""
    return COMPOSE.read_text(encoding="utf-8")


def raw_document() -> dict[str, Any]:
    """The file with its anchors merged and its variables as they stand."""
    found: dict[str, Any] = yaml.safe_load(text())
    return found


def document(variables: Mapping[str, str]) -> dict[str, Any]:
    """The file with each variable's value, or its default. Raises KeyError for a secret."""

    def value(match: re.Match[str]) -> str:
        given = variables.get(match["name"], "")
        return given or (match["text"] if match["rule"] == "-" else variables[match["name"]])

    found: dict[str, Any] = yaml.safe_load(VARIABLE.sub(value, text()))
    return found


def with_secrets(secret: str) -> dict[str, str]:
    """The values of .env.example, with one secret in every place that is empty."""
    example = env_example()
    return {**example.values, **dict.fromkeys(example.secrets, secret)}


def variables_of() -> dict[str, str | None]:
    """The variables that the file names, with the default of each; None where it has none."""
    return {
        match["name"]: match["text"] if match["rule"] == "-" else None
        for match in VARIABLE.finditer(text())
    }
