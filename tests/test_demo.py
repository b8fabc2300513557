"""`mmga demo`: what it deletes, and what becomes of its commands when it is told to end."""

import os
import shutil
import signal
import sys
import threading
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from graphdb.errors import StageBusy
from graphdb.stage import StageLock
from mmga_demo import MARK, demo, embedded, prepare_home, run_command


def test_a_home_is_made_and_emptied_again(tmp_path: Path) -> None:
    home = tmp_path / "demo"
    for _ in range(2):
        prepare_home(home)
        assert [path.name for path in home.iterdir() if path.suffix != ".lock"] == [MARK]
        (home / "graph.db").touch()
        (home / "history").mkdir()
        (home / "history" / "a.parquet").touch()
        (tmp_path / "elsewhere").mkdir(exist_ok=True)
        (tmp_path / "elsewhere" / "kept").touch()
        (home / "link").symlink_to(tmp_path / "elsewhere")
    prepare_home(home)
    assert not (home / "link").exists()
    assert (tmp_path / "elsewhere" / "kept").exists()


@pytest.mark.parametrize("kind", ["folder", "file", "link", "copy", "moved"])
def test_what_no_demo_made_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    home, made = tmp_path / "demo", tmp_path / "other" / "demo"
    made.parent.mkdir()
    prepare_home(made)
    (made / "thesis.txt").write_text("precious")
    if kind == "folder":
        home.mkdir()
        (home / "thesis.txt").write_text("precious")
    elif kind == "file":
        home.write_text("precious")
    elif kind == "link":
        home.symlink_to(made)
    elif kind == "copy":
        shutil.copytree(made, home)
    else:
        made.rename(home)
    monkeypatch.setenv("MMGA_HOME", str(tmp_path))
    outcome = CliRunner().invoke(demo)
    assert outcome.exit_code == 2
    assert "was not made by `mmga demo`" in outcome.output
    kept = home if kind == "file" else home / "thesis.txt"
    assert kept.read_text() == "precious"


def test_a_second_demo_touches_nothing_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_home(tmp_path / "demo")
    (tmp_path / "demo" / "graph.db").touch()
    monkeypatch.setenv("MMGA_HOME", str(tmp_path))
    with StageLock(tmp_path, "demo"):
        outcome = CliRunner().invoke(demo)
    assert isinstance(outcome.exception, StageBusy)
    assert (tmp_path / "demo" / "graph.db").exists()


@pytest.mark.parametrize("stage", ["ingest", "statistics", "train"])
def test_a_home_to_which_a_command_writes_is_not_emptied(tmp_path: Path, stage: str) -> None:
    home = tmp_path / "demo"
    prepare_home(home)
    (home / "graph.db").touch()
    with StageLock(home, stage), pytest.raises(StageBusy):
        prepare_home(home)
    assert (home / "graph.db").exists()
    with pytest.raises(click.UsageError):
        prepare_home(tmp_path)


def test_the_commands_use_no_servers_of_the_environment(tmp_path: Path) -> None:
    environ = {"PATH": "/bin", "MMGA_GRAPH_URL": "neo4j://h", "MMGA_THREADS": "3", "MMGA_HOME": "x"}
    expected = {"PATH": "/bin", "MMGA_THREADS": "3", "MMGA_HOME": str(tmp_path)}
    assert embedded(tmp_path, environ) == expected


CHILD = """
import signal, sys
def end(number, frame):
    open(sys.argv[2], "w").write(f"{number}")
    sys.exit(0)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, end)
open(sys.argv[1], "w").close()
while True:
    signal.pause()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_passed_on_and_its_end_waited_for(
    tmp_path: Path, number: signal.Signals
) -> None:
    ready, ended = tmp_path / "ready", tmp_path / "ended"
    os.mkfifo(ready)

    def send() -> None:
        ready.read_bytes()  # until the child has opened it
        os.kill(os.getpid(), number)

    inherited = signal.signal(number, signal.default_int_handler)  # a shell may let it be ignored
    sender = threading.Thread(target=send)
    sender.start()
    try:
        command = [sys.executable, "-c", CHILD, str(ready), str(ended)]
        assert run_command(command, dict(os.environ)) == 128 + number
        assert signal.getsignal(number) == signal.default_int_handler
    finally:
        signal.signal(number, inherited)
    sender.join()
    assert ended.read_text() == str(int(number))


@pytest.mark.parametrize(("code", "status"), [("0", 0), ("3", 3)])
def test_without_a_signal_the_status_is_that_of_the_command(code: str, status: int) -> None:
    assert run_command([sys.executable, "-c", f"raise SystemExit({code})"], {}) == status


def test_a_command_that_was_killed_has_the_status_of_a_shell() -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert run_command([sys.executable, "-c", code], {}) == 128 + signal.SIGKILL
