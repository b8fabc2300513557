"""A signal ends `mmga train` in order, wherever it comes, and the same command goes on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import mmga
from foundation.stop import StopRequest
from tests.training.small_home import small_home
from training.runs.run_folder import runs

STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    settings = small_home(tmp_path)
    monkeypatch.setenv("MMGA_HOME", str(settings.home))
    monkeypatch.setenv("MMGA_MEDIA_ROOT", str(settings.media_root))
    return settings.home


def status_of(*options: str) -> int:
    """The exit status of `mmga train`, run in this process."""
    with pytest.raises(SystemExit) as ended:
        mmga.main(["train", "--recipe", "smoke", "--seeds", "1", "--no-publish", *options])
    return int(ended.value.code or 0)


def signalled(monkeypatch: pytest.MonkeyPatch, where: str, number: signal.Signals) -> None:
    """Let the function of that name get a signal before it does its work."""
    module, _, name = where.rpartition(".")
    real: Callable[..., Any] = getattr(__import__(module, fromlist=[name]), name)

    def call(*arguments: Any, **options: Any) -> Any:
        os.kill(os.getpid(), number)
        return real(*arguments, **options)

    monkeypatch.setattr(where, call)


@pytest.mark.parametrize("number", STATUS)
@pytest.mark.parametrize(
    "where",
    [
        "training.runs.report.check_machine",
        "training.runs.run.take_snapshot",
        "training.runs.run.pin_texts",
        "training.runs.run.train_tokenizer",
        "training.runs.run.prepare_post_inputs",
    ],
)
def test_a_signal_before_ray_starts_ends_the_run_with_one_line(
    home: Path,
    where: str,
    number: signal.Signals,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("training.engine.ray_cluster.start", lambda *_: pytest.fail("Ray started"))
    signalled(monkeypatch, where, number)
    before = signal.getsignal(number)
    assert status_of() == STATUS[number]
    last = capfd.readouterr().err.splitlines()[-1]
    assert last == f"stopped by {number.name}: the same command goes on from where it was"
    assert signal.getsignal(number) is before


def test_after_new_it_is_the_command_without_new_that_goes_on(
    home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    signalled(monkeypatch, "training.runs.run.prepare_post_inputs", signal.SIGINT)
    assert status_of("--new") == 130
    assert "the same command without --new goes on" in capfd.readouterr().err
    (_, first), *more = runs(home / "checkpoints")
    assert not more
    assert status_of() == 130
    assert f"resuming the interrupted run {first.run_id}" in capfd.readouterr().err


def test_a_signal_ends_an_evaluation_that_computes(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compute(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        while True:
            time.sleep(0.01)

    monkeypatch.setattr("training.runs.report.train_run", lambda *_: None)
    monkeypatch.setattr("training.runs.report.evaluate_run", compute)
    assert status_of() == 143


def test_what_fails_because_of_the_signal_is_told_as_the_signal(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        raise ConnectionError("who answered got the signal too")

    monkeypatch.setattr("training.runs.report.train_run", fail)
    assert status_of() == 143


@pytest.mark.slow
def test_a_signal_while_ray_starts_leaves_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray._private.node import Node

    from training.engine.ray_cluster import ray_session

    real, seen = Node.start_ray_processes, []
    before = set(psutil.Process().children(recursive=True))

    def start(node: Node) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        real(node)
        seen.extend(set(psutil.Process().children(recursive=True)) - before)

    monkeypatch.setattr(Node, "start_ray_processes", start)
    stop = StopRequest()
    with stop.listening(), ray_session(1, stop):
        pytest.fail("the session began")
    assert stop.number is signal.SIGTERM
    assert seen
    assert not psutil.wait_procs(seen, timeout=30)[1]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_signal_in_training_ends_all_of_ray_which_listened_on_loopback_alone(home: Path) -> None:
    command = [sys.executable, "-m", "mmga", "train", "--recipe", "smoke", "--seeds", "1"]
    environ = {**os.environ, "HOME": "/proc/nobody"}
    train = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environ)
    assert train.stderr is not None
    said = []
    for line in train.stderr:
        said.append(line)
        if ": step " in line:
            break
    family = [psutil.Process(train.pid), *psutil.Process(train.pid).children(recursive=True)]
    addresses = {address for process in family for address in listened(process)}
    train.send_signal(signal.SIGTERM)
    rest = train.stderr.read().splitlines()
    assert train.wait() == 143, said + rest
    assert rest[-1] == "stopped by SIGTERM: the same command goes on from where it was"
    assert not psutil.wait_procs(family[1:], timeout=30)[1]
    assert addresses
    assert addresses <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


def listened(process: psutil.Process) -> Iterator[str]:
    """The addresses at which a process accepts connections."""
    for connection in process.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN:
            yield connection.laddr.ip
