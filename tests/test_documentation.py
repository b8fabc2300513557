"""The documents' examples run as they stand, in the order in which they stand.

A block ```` ```json FILE ```` is written to FILE. In a block ```` ```console ```` each line that
starts with `$ ` is a command for bash, and what follows is its standard output. A block
```` ```pycon ```` is a doctest. `...` in an output stands for anything. Each document runs in a
folder of its own. Other blocks are only read, and a document that has no others is listed here.
"""

import doctest
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

import msgspec
import pytest

import mmga
from graphdb.statistics import STATISTICS
from ingest.events import schema
from serving.features import UserFeatures
from tests.serving.conftest import USERS
from tests.serving.published import Home, random_vectors
from tests.serving.test_server import serving

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted((ROOT / "docs").glob("*.md"))
TEXTS = [*DOCUMENTS, *ROOT.glob("*.md")]
WITHOUT_EXAMPLES = {
    "architecture": "has a diagram",
    "deployment": "tests/compose gives its commands to the services",
    "feature_store": "has tables",
    "kafka": "shows settings of a broker",
    "neo4j": "shows queries for Neo4j Browser",
    "sampling": "tests/graphdb/test_sampling_document.py executes it on a Neo4j server",
}
"""Documents in which nothing is executed here, and why."""
EXECUTED = [document for document in DOCUMENTS if document.stem not in WITHOUT_EXAMPLES]
BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
DOCTEST_OPTIONS = ("-o", "ELLIPSIS", "-o", "NORMALIZE_WHITESPACE")
ADDRESS = "http://127.0.0.1:8000"


@dataclass(frozen=True)
class Place:
    """Where a document's examples run; `address` takes the place of the one in the text."""

    folder: Path
    home: Path
    address: str = ADDRESS

    def run(self, command: list[str]) -> "subprocess.CompletedProcess[str]":
        """Run a command as a reader would, with our commands on the path."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MMGA_")}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return subprocess.run(
            command,
            cwd=self.folder,
            env={**environment, "PATH": path, "MMGA_HOME": str(self.home)},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )


@contextmanager
def empty_place(folder: Path) -> Iterator[Place]:
    """A folder without anything."""
    yield Place(folder, folder / "home")


@contextmanager
def serving_place(folder: Path) -> Iterator[Place]:
    """A home with five users, and a server that reads it."""
    home = Home(folder / "home")
    home.write_statistics(USERS)
    home.publish("g1", USERS, random_vectors(len(USERS)))
    with serving(home.path) as (_, address):
        yield Place(folder, home.path, address)
    home.online.close()


PLACES: dict[str, Callable[[Path], AbstractContextManager[Place]]] = {"serving": serving_place}


def examples(document: Path) -> list[tuple[str, str, str]]:
    """Language, name and text of each block with a language."""
    return BLOCK.findall(document.read_text(encoding="utf-8"))


@pytest.mark.slow  # each command that projects statistics imports Feast first
@pytest.mark.parametrize("document", EXECUTED, ids=lambda path: path.stem)
def test_examples_do_what_they_show(document: Path, tmp_path: Path) -> None:
    with PLACES.get(document.stem, empty_place)(tmp_path) as place:
        for language, name, text in examples(document):
            if language == "console":
                run_console(text.replace(ADDRESS, place.address), place)
            elif language == "pycon":
                run_doctest(text, place)
            elif language == "json" and name:
                (place.folder / name).write_text(text, encoding="utf-8")


def test_each_document_is_executed_or_listed_as_without_examples() -> None:
    without = {
        document.stem
        for document in DOCUMENTS
        if not {"console", "pycon"} & {language for language, *_ in examples(document)}
    }
    assert without == set(WITHOUT_EXAMPLES)


def run_console(text: str, place: Place) -> None:
    """Run each command and compare what it prints."""
    before, *commands = re.split(r"^\$ ", text, flags=re.MULTILINE)
    assert commands, f"no line begins with $: {text}"
    assert not before, f"no command prints this: {before}"
    for example in commands:
        command, _, expected = example.partition("\n")
        done = place.run(["bash", "-c", command])
        shown = f"$ {command}\nexpected:\n{expected}\ngot:\n{done.stdout}\n{done.stderr}"
        assert done.returncode == 0, shown
        assert "Traceback" not in done.stderr, shown
        assert doctest.OutputChecker().check_output(expected, done.stdout, OPTIONS), shown


def run_doctest(text: str, place: Place) -> None:
    """Run a session of Python in a process of its own."""
    (place.folder / "session.txt").write_text(text, encoding="utf-8")
    done = place.run([sys.executable, "-m", "doctest", *DOCTEST_OPTIONS, "session.txt"])
    assert done.returncode == 0, done.stdout + done.stderr


class TestNothingIsLeftOut:
    def test_every_event_type_and_field(self) -> None:
        text = (ROOT / "docs/events.md").read_text(encoding="utf-8")
        for event in schema.AnyEvent.__args__:
            assert f"`{event.__struct_config__.tag}`" in text
            for each in (*msgspec.structs.fields(schema.Event), *data_fields(event)):
                assert f"`{each.encode_name}`" in text, f"{event.__name__}.{each.name}"

    def test_every_field_of_an_answer(self) -> None:
        text = (ROOT / "docs/serving.md").read_text(encoding="utf-8")
        for name in {each.name for each in fields(UserFeatures)} - {"user_id"}:  # as asked
            assert f"`{name}`" in text, name

    def test_every_command(self) -> None:
        for name in mmga.COMMANDS:
            assert f"mmga {name}" in all_text()

    def test_every_statistic(self) -> None:
        for name in STATISTICS:
            assert f"`{name}`" in all_text()

    def test_links_lead_somewhere(self) -> None:
        for document in TEXTS:
            text = document.read_text(encoding="utf-8")
            for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
                if "://" not in target:
                    assert (document.parent / target).exists(), f"{document.name}: {target}"


def data_fields(event: type[msgspec.Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    """The fields of an event's data."""
    (data,) = (each.type for each in msgspec.structs.fields(event) if each.name == "data")
    return msgspec.structs.fields(data)


def all_text() -> str:
    """All documents, one after the other."""
    return "".join(path.read_text(encoding="utf-8") for path in TEXTS)


def test_the_picture_of_the_readme_is_the_one_that_its_program_draws() -> None:
    drawn = runpy.run_path(str(ROOT / "docs/make_flow.py"))["flow"]()
    assert (ROOT / "docs/flow.svg").read_text(encoding="utf-8") == drawn
