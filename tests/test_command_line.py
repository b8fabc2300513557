"""What holds for every command: help, exit status, errors of one line, nothing heavy for help."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import click
import pytest

import mmga

REPOSITORY = Path(__file__).parents[1]
HEAVY = {
    *("fastapi", "feast", "kafka", "matplotlib", "neo4j", "pandas", "PIL", "pyarrow", "ray"),
    *("scipy", "sklearn", "sqlalchemy", "tokenizers", "torch", "torch_geometric", "transformers"),
    "uvicorn",
}
PRINT_HELP = f"""
import contextlib, io, json, sys, mmga
for line in sys.stdin:
    words, printed, status = json.loads(line), io.StringIO(), 0
    with contextlib.redirect_stdout(printed):
        try:
            mmga.main([*words, "--help"])
        except SystemExit as stop:
            status = stop.code or 0
    print(json.dumps([status, printed.getvalue(), sorted({HEAVY!r} & set(sys.modules))]))
"""
READERS = [
    ["digest"],
    ["generations", "list"],
    ["generations", "show", "g1"],
    ["lookup", "ann"],
    ["serve", "--port", "0"],
    ["similar", "ann"],
    ["status"],
    ["status", "--json"],
]
WRITERS = [["statistics"], ["train"], ["ingest", "--events", "missing.jsonl"]]


def commands() -> Iterator[list[str]]:
    """Every command and subcommand, as words."""
    context = click.Context(mmga.cli)
    pending: list[tuple[list[str], click.Command]] = [([], mmga.cli)]
    while pending:
        words, command = pending.pop()
        yield words
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                child = command.get_command(context, name)
                assert child is not None
                pending.append(([*words, name], child))


ALL_COMMANDS = sorted(commands())


def run(
    *arguments: str, home: Path | None = None, **environment: str
) -> "subprocess.CompletedProcess[str]":
    variables = {key: value for key, value in os.environ.items() if not key.startswith("MMGA_")}
    if home is not None:
        variables["MMGA_HOME"] = str(home)
    return subprocess.run(
        [sys.executable, "-m", "mmga", *arguments],
        env={**variables, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def assert_one_line_error(done: "subprocess.CompletedProcess[str]") -> None:
    assert done.returncode == 1, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "--debug" not in errors[0], f"not an error of ours: {errors[0]}"


class TestHelp:
    def test_imports_nothing_heavy(self) -> None:
        done = subprocess.run(
            [sys.executable, "-c", PRINT_HELP],
            input="\n".join(map(json.dumps, ALL_COMMANDS)),
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        outcomes = map(json.loads, done.stdout.splitlines())
        for words, (status, printed, heavy) in zip(ALL_COMMANDS, outcomes, strict=True):
            assert (status, heavy) == (0, []), words
            assert printed.startswith(f"Usage: {' '.join(['mmga', *words])}")

    def test_lists_every_command_with_what_it_does(self) -> None:
        done = run("--help")
        assert done.returncode == 0
        for name, (_, effect) in mmga.COMMANDS.items():
            assert name in done.stdout
            assert effect.split()[0] in done.stdout

    def test_does_not_touch_the_home(self, tmp_path: Path) -> None:
        for words in (["ingest"], ["train"], ["serve"]):
            assert run(*words, "--help", home=tmp_path / "home").returncode == 0
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("words", ALL_COMMANDS, ids=" ".join)
    def test_every_command_and_option_is_described(self, words: list[str]) -> None:
        command: click.Command = mmga.cli
        for word in words:
            assert isinstance(command, click.Group)
            child = command.get_command(click.Context(command), word)
            assert child is not None
            command = child
        assert command.help
        for option in command.params:
            if isinstance(option, click.Option):
                assert option.help, f"{' '.join(words)} {option.opts[0]} has no help"


class TestErrors:
    @pytest.mark.parametrize(
        "words", [["nothing"], ["lookup"], ["lookup", "--nothing"], ["serve", "--port", "x"]]
    )
    def test_wrong_usage_is_status_two(self, words: list[str], tmp_path: Path) -> None:
        done = run(*words, home=tmp_path / "home")
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        assert "Error: " in done.stderr

    @pytest.mark.parametrize("words", READERS, ids=" ".join)
    def test_a_reader_makes_no_home(self, words: list[str], tmp_path: Path) -> None:
        home = tmp_path / "home"
        done = run(*words, home=home)
        if done.returncode:
            assert_one_line_error(done)
        assert not home.exists()

    @pytest.mark.parametrize("words", [*READERS, *WRITERS], ids=" ".join)
    def test_a_home_that_is_a_file_is_one_line(self, words: list[str], tmp_path: Path) -> None:
        home = tmp_path / "home"
        home.write_text("not a folder")
        done = run(*words, home=home)
        if done.returncode:
            assert_one_line_error(done)
        assert home.read_text() == "not a folder"

    def test_training_without_a_graph_is_one_line(self, tmp_path: Path) -> None:
        done = run("train", home=tmp_path / "home")
        assert_one_line_error(done)
        assert "mmga ingest" in done.stderr

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("MMGA_ONLINE_STORE_URL", "mystery://user:secret@host"),
            ("MMGA_GRAPH_URL", "mystery://user:secret@host"),
            ("MMGA_PROJECT", "../../etc"),
        ],
    )
    def test_a_bad_setting_is_one_line_without_its_secret(
        self, name: str, value: str, tmp_path: Path
    ) -> None:
        words = ["status"] if name == "MMGA_GRAPH_URL" else ["lookup", "ann"]
        done = run(*words, home=tmp_path / "home", **{name: value})
        assert_one_line_error(done)
        assert "secret" not in done.stderr

    def test_debug_shows_the_traceback(self, tmp_path: Path) -> None:
        done = run("--debug", "lookup", "ann", home=tmp_path / "home")
        assert done.returncode == 1
        assert "Traceback" in done.stderr

    @pytest.mark.parametrize(
        ("module", "extra"),
        [("kafka", "ingest"), ("kafka.errors", "ingest"), ("torch", "training"), ("x", None)],
    )
    def test_a_module_that_is_not_installed_is_told_with_its_extra(
        self, module: str, extra: str | None
    ) -> None:
        error = ModuleNotFoundError(f"No module named {module!r}", name=module)
        assert (f'`pip install ".[{extra}]"`' in mmga.one_line(error)) is (extra is not None)

    def test_each_module_that_is_told_comes_with_its_extra(self) -> None:
        document = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
        extras = document["project"]["optional-dependencies"]
        brings = {
            extra: {re.split(r"[\[<>=]", each, maxsplit=1)[0] for each in required}
            for extra, required in extras.items()
        }
        installed = packages_distributions()
        for module, extra in mmga.EXTRAS.items():
            names = {name.lower().replace("_", "-") for name in installed.get(module, [])}
            assert not names or names & brings[extra], module


def test_version() -> None:
    done = run("--version")
    assert done.returncode == 0
    assert "0." in done.stdout
