"""compose.yaml, .env.example, the settings that the code reads and docs/deployment.md agree."""

import ast
import re
from collections.abc import Iterator
from functools import cache

import pytest

from tests.compose.compose_file import (
    ROOT,
    VARIABLE,
    env_example,
    raw_document,
    text,
    variables_of,
)

PACKAGES = ("foundation", "graphdb", "featurestore", "ingest", "training", "serving")
DEPLOYMENT = ROOT / "docs" / "deployment.md"
NOT_IN_THE_STACK = {
    "MMGA_ARTIFACTS_URL": "generations lie in the volume of state",
    "MMGA_HOST": "an option of serving's command",
    "MMGA_PORT": "an option of serving's command",
    "MMGA_KAFKA_…": "Kafka in the stack needs no user and no certificate",
}


@cache
def names_in_code() -> set[str]:
    """Every variable that the code names, by whole strings; a prefix ends in `…`."""
    return set(_names())


def _names() -> Iterator[str]:
    sources = [ROOT / "mmga.py", *(p for name in PACKAGES for p in (ROOT / name).rglob("*.py"))]
    for source in sources:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found = re.fullmatch(r"MMGA_[A-Z0-9_]+", node.value)
                if found:
                    name = found[0].removesuffix("_FILE")
                    yield f"{name}…" if name.endswith("_") else name


def names_in_table() -> list[str]:
    """The variables of the table, in its order."""
    text = DEPLOYMENT.read_text(encoding="utf-8").partition("\n## Variables\n")[2]
    cells = re.findall(r"^\| (`M[A-Z]+_[^|]+) \|", text, re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`([A-Z0-9_]+…?)`", cell)]


def names_in_stack() -> set[str]:
    """The variables of ours that compose.yaml gives to a service."""
    services = raw_document()["services"].values()
    given = {name for service in services for name in service.get("environment", {})}
    return {name for name in given if name.startswith("MMGA_")}


def test_what_the_code_reads_is_documented_once_and_nothing_else() -> None:
    ours = [name for name in names_in_table() if name.startswith("MMGA_")]
    assert sorted(ours) == sorted(names_in_code())


def test_the_stack_sets_what_concerns_it_and_only_what_is_read() -> None:
    assert names_in_stack() == names_in_code() - set(NOT_IN_THE_STACK)


def test_the_example_explains_each_variable_with_its_default() -> None:
    example, used = env_example(), variables_of()
    assert example.names == set(used)
    assert dict(example.defaults) == {k: v for k, v in used.items() if v is not None}
    assert example.secrets == {name for name, default in used.items() if default is None}


@pytest.mark.parametrize("name", sorted(env_example().defaults))
def test_a_default_is_one_everywhere(name: str) -> None:
    assert len({each["text"] for each in VARIABLE.finditer(text()) if each["name"] == name}) == 1


def test_a_variable_has_a_default_or_is_required() -> None:
    assert "$" not in VARIABLE.sub("", text())


class TestDocument:
    text = DEPLOYMENT.read_text(encoding="utf-8")

    def test_its_addresses_are_published(self) -> None:
        services = raw_document()["services"]
        published = {
            port.rpartition(":")[0] for s in services.values() for port in s.get("ports", [])
        }
        assert set(re.findall(r"127\.0\.0\.1:\d+", self.text)) == published

    def test_its_services_are_the_ones_that_there_are(self) -> None:
        table = self.text.partition("| service |")[2].partition("\n\n")[0]
        rows = re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE)
        named = {name for row in rows for name in re.findall(r"`([\w-]+)`", row)}
        assert named | {"trainer-gpu"} == set(raw_document()["services"])
        assert "`trainer-gpu`" in self.text

    def test_its_volumes_are_there(self) -> None:
        named = re.findall(r"`(\w+-data)`", self.text)
        assert named
        assert set(named) < set(raw_document()["volumes"])

    def test_its_profiles_are_there(self) -> None:
        profiles = {p for s in raw_document()["services"].values() for p in s.get("profiles", [])}
        assert set(re.findall(r"--profile (\w+)", self.text)) == profiles

    def test_its_variables_of_the_stack_are_there(self) -> None:
        words = set(re.findall(r"`([A-Z][A-Z0-9]+_[A-Z0-9_]+)`", self.text))
        ours = {
            word for word in words if not word.startswith(("MMGA_", "MLFLOW_", "RAY_", "NAME_"))
        }
        assert ours <= env_example().names
