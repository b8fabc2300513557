"""The process of the statistics: it lives as long as the ingest that has started it."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest

from featurestore.online.open import open_online_store
from featurestore.settings import FeatureStoreSettings
from graphdb import open_graph
from tests.ingest.conftest import Run, start
from tests.ingest.made import follow_lines

PATIENCE_SECONDS = 60.0
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One home for all tests, since Feast is slow to define what the first run needs."""
    return tmp_path_factory.mktemp("one")


@pytest.fixture
def home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("MMGA_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MMGA_HOME", str(folder / "home"))
    return folder / "home"


@pytest.fixture
def events(home: Path, run: Run) -> Path:
    """A file that was ingested, to which tests append."""
    path = home.parent / "events.jsonl"
    if not path.exists():
        append(path, 3)
    assert run("ingest", "--events", path).status == 0
    return path


def append(path: Path, number: int) -> None:
    first = len(path.read_bytes().splitlines()) if path.exists() else 0
    with path.open("ab") as file:
        file.writelines(text + b"\n" for text in follow_lines(number, first=first))


def wait_until(happened: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.1)


def is_projected(home: Path) -> bool:
    """Whether the statistics are those of the graph's head."""
    settings = FeatureStoreSettings.at(home)
    with (
        closing(open_graph(f"sqlite:///{home / 'graph.db'}", read_only=True)) as graph,
        closing(open_online_store(settings, read_only=True)) as online,
    ):
        mark, head = online.watermark("statistics"), graph.head()
        return mark is not None and mark.version == head.version


@contextmanager
def following(home: Path, events: Path) -> Iterator[tuple["subprocess.Popen[str]", psutil.Process]]:
    """A run that follows, and the process of its statistics, which holds the stage."""
    with start("ingest", "--events", events, "--follow") as ingest:
        try:
            lock = home / "statistics.lock"
            wait_until(lambda: psutil.Process(ingest.pid).children())
            [stage] = psutil.Process(ingest.pid).children()
            wait_until(lambda: lock.read_text() == f"{stage.pid}\n")
            yield ingest, stage
        finally:
            ingest.kill()


def test_it_follows_the_graph_until_ingest_is_told_to_end(home: Path, events: Path) -> None:
    with following(home, events) as (ingest, stage):
        append(events, 5)
        wait_until(lambda: is_projected(home) and num_follows(home) == num_lines(events))
        ingest.send_signal(signal.SIGTERM)
        out, err = ingest.communicate(timeout=PATIENCE_SECONDS)
        assert ingest.returncode == 0, err
        assert out.startswith("5 events: 5 applied")
        assert "statistics: " in err
        assert not stage.is_running()


def num_follows(home: Path) -> int:
    with closing(open_graph(f"sqlite:///{home / 'graph.db'}", read_only=True)) as graph:
        return graph.counts().follows


def num_lines(path: Path) -> int:
    return len(path.read_bytes().splitlines())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_both_ends_both_in_good_order(
    home: Path, events: Path, number: signal.Signals
) -> None:
    """As a terminal or a service manager sends it."""
    with following(home, events) as (ingest, stage):
        os.kill(stage.pid, number)
        append(events, 1)
        wait_until(lambda: is_projected(home) and num_follows(home) == num_lines(events))
        ingest.send_signal(number)
        assert ingest.wait(PATIENCE_SECONDS) == 0
        assert not stage.is_running()


def test_it_dies_with_an_ingest_that_is_killed(home: Path, events: Path, run: Run) -> None:
    with following(home, events) as (ingest, stage):
        stage.suspend()  # so that nothing but the kernel can end it
        ingest.kill()
        ingest.wait()
        assert psutil.wait_procs([stage], timeout=PATIENCE_SECONDS)[1] == []
    append(events, 1)
    outcome = run("ingest", "--events", events)
    assert outcome.status == 0
    assert "left to another" not in outcome.err
    assert is_projected(home)


def test_ingest_ends_with_a_line_when_it_dies(home: Path, events: Path) -> None:
    with following(home, events) as (ingest, stage):
        stage.kill()
        _, err = ingest.communicate(timeout=PATIENCE_SECONDS)
    assert ingest.returncode == 1
    assert err.splitlines()[-1] == (
        "error: the process of the statistics ended (signal 9): run the same command again"
    )


def test_its_error_is_that_of_ingest(
    home: Path, events: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told before anything is read."""
    append(events, 1)
    before = num_follows(home)
    monkeypatch.setenv("MMGA_ONLINE_STORE_URL", f"sqlite:///{home / 'history'}")
    alone = run("statistics")
    outcome = run("ingest", "--events", events)
    assert (alone.status, outcome.status) == (1, 1)
    assert outcome.err == alone.err
    assert outcome.err.startswith("error: ")
    assert len(outcome.err.splitlines()) == 1
    assert num_follows(home) == before


def test_an_error_while_it_projects_is_told_in_one_line(
    home: Path, events: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(events, 1)
    history = home / "history"
    history.rename(home / "kept")
    history.touch()
    try:
        outcome = run("ingest", "--events", events)
    finally:
        history.unlink()
        (home / "kept").rename(history)
    assert outcome.status == 1
    assert len([line for line in outcome.err.splitlines() if line.startswith("error: ")]) == 1
    assert run("ingest", "--events", events).status == 0
    assert is_projected(home)
