"""A disk that is full under the embedded store: one line, and on from there when there is space."""

import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from graphdb import open_graph
from tests.faults.event_set import bad_of, digest_of, make_events, state_of
from tests.faults.worker import clean_environ
from tests.ingest.conftest import REPOSITORY

NUM_EVENTS = 3_000
BATCH_SIZE = 200
SMALL_BYTES = 300_000
LARGE = "64m"


@pytest.fixture
def events(tmp_path: Path) -> tuple[Path, list[bytes]]:
    """A file of events, and its lines."""
    lines = make_events(NUM_EVENTS, seed=91)
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path, lines


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few hundred KB; where none can be mounted, the test below has to do."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SMALL_BYTES}", "mmga", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"nothing can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_file_system(small_disk: Path, events: tuple[Path, list[bytes]]) -> None:
    path, lines = events
    assert_refused(ingest(small_disk / "home", path))
    subprocess.run(["mount", "-o", f"remount,size={LARGE}", str(small_disk)], check=True)
    assert_exact(small_disk / "home", path, lines)


def test_files_that_may_not_grow(tmp_path: Path, events: tuple[Path, list[bytes]]) -> None:
    """Where nothing can be mounted, the limit of the process is the full disk."""
    path, lines = events

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL_BYTES, SMALL_BYTES))

    assert_refused(ingest(tmp_path / "home", path, limit))
    assert_exact(tmp_path / "home", path, lines)


def ingest(
    home: Path, events: Path, prepare: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    words = ["ingest", "--events", events, "--batch-size", BATCH_SIZE, "--no-statistics"]
    return subprocess.run(
        [sys.executable, "-m", "mmga", *map(str, words)],
        cwd=REPOSITORY,
        env={**clean_environ(), "MMGA_HOME": str(home)},
        preexec_fn=prepare,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def assert_refused(done: subprocess.CompletedProcess[str]) -> None:
    """It ended with one line that says why."""
    assert done.returncode == 1, done
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: "), done.stderr
    assert "Traceback" not in done.stderr


def assert_exact(home: Path, events: Path, lines: list[bytes]) -> None:
    """Run again, it goes on behind what it had committed and ends in the state of all events."""
    with closing(open_graph(f"sqlite:///{home}/graph.db")) as graph:
        [position] = graph.positions()
        assert 0 < position.offset < events.stat().st_size
    done = ingest(home, events)
    assert done.returncode == 0, done.stderr
    with closing(open_graph(f"sqlite:///{home}/graph.db")) as graph:
        assert (graph.digest(), graph.counts()) == digest_of(state_of(lines))
        [position] = graph.positions()
        assert position.offset == events.stat().st_size
    kept = (home / "dead_letters.jsonl").read_bytes().splitlines()
    assert len(kept) >= len(bad_of(lines))
