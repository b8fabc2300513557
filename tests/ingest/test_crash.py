"""Killed at any moment and started again, ingest ends in the state of an undisturbed run.

The moments are those of the real command, recorded in an undisturbed run: before and after each
distinct statement of each write transaction on graph.db and online.db, and each flush, rename and
deletion of a file, of a batch in the middle where it has one. A moment that is not reached fails
the test.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from ingest.synthetic import write_synthetic_network
from tests.ingest.conftest import REPOSITORY
from tests.ingest.crash_server import DATABASES, STAGE, Moment
from tests.ingest.made import line

BATCH_SIZE = 40
NUM_SERVERS = 2
SIGKILL = -9
SMALL = [
    ("graphdb.sqlite.store", "MAX_RECENT_FOLLOWS", 30),
    ("graphdb.sqlite.store", "FOLLOWS_A_MERGE", 10),
    ("graphdb.sqlite.follows", "FOLLOWS_A_MERGE", 10),
]
"""So that follows are merged as they are in a large graph."""


class Server:
    """A process with everything imported, which forks the command."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process = process
        self._folder = folder
        self._numbers = count()

    def run(self, home: Path, events: Path, **job: Any) -> int:
        """Run `mmga ingest` on a home; return its exit status."""
        log = self._folder / f"{self._process.pid}-{next(self._numbers)}.log"
        arguments = ["ingest", "--events", str(events), "--batch-size", str(BATCH_SIZE)]
        request = {
            "home": str(home),
            "arguments": arguments,
            "constants": SMALL,
            "log": str(log),
            **job,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(request), file=self._process.stdin, flush=True)
        status = int(self._process.stdout.readline())
        if status not in (0, SIGKILL):
            raise AssertionError(f"exit status {status}: {log.read_text()}")
        return status


@contextmanager
def server(folder: Path, modules: Path) -> Iterator[Server]:
    """A server that has imported these modules."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.ingest.crash_server", str(modules)],
        cwd=REPOSITORY,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Server(process, folder)
        assert process.stdin is not None
        process.stdin.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A home to start from (None: none yet), and the moments at which the command is killed.

    `expected` is what an undisturbed run leaves.
    """

    base: Path | None
    moments: list[Moment]
    expected: dict[str, Any]

    def copy_to(self, home: Path) -> Path:
        """A home in the state before the run."""
        if self.base is not None:
            shutil.copytree(self.base, home)
        return home


def test_killed_at_every_moment_it_ends_as_an_undisturbed_run(tmp_path: Path) -> None:
    events, modules = tmp_path / "events.jsonl", tmp_path / "modules"
    lines = events_of_all_kinds(tmp_path)
    modules.touch()
    base = tmp_path / "base"
    events.write_bytes(b"".join(lines[: len(lines) // 2]))
    with server(tmp_path, modules) as cold:
        assert cold.run(base, events, modules=str(modules)) == 0
    events.write_bytes(b"".join(lines))
    with server(tmp_path, modules) as one, server(tmp_path, modules) as two:
        expected, grown = undisturbed(one, events, base, tmp_path / "grown")
        also_expected, fresh = undisturbed(two, events, None, tmp_path / "fresh")
        assert {**also_expected, "history": expected["history"]} == expected
        assert expected["users"] == expected["existing"]
        scenarios = [
            Scenario(base=base, moments=chosen(grown), expected=expected),
            Scenario(base=None, moments=chosen(fresh, known=grown), expected=also_expected),
        ]
        disturb(scenarios, [one, two], events, tmp_path)


def undisturbed(
    server: Server, events: Path, base: Path | None, home: Path
) -> tuple[dict[str, Any], list[Moment]]:
    """What a run leaves that nobody kills, and its moments."""
    record, dump = home.with_suffix(".record"), home.with_suffix(".dump")
    Scenario(base=base, moments=[], expected={}).copy_to(home)
    assert server.run(home, events, record=str(record), dump=str(dump)) == 0
    records = [record, record.with_name(f"{record.name}.{STAGE}")]
    moments = [moment for each in records for moment in json.loads(each.read_text())]
    return json.loads(dump.read_text()), [(place, text, number) for place, text, number in moments]


def chosen(seen: list[Moment], known: list[Moment] | None = None) -> list[Moment]:
    """Moments before and after the first of each distinct event, of the middle batch if it can be.

    Those of `known` are left out.
    """
    skipped = {(place, text) for place, text, _ in known or []}
    commits = [row for row, moment in enumerate(seen) if is_commit(moment, "graph.db")]
    middle = commits[len(commits) // 2 - 1] + 1
    rows: set[int] = set()
    for place, text in dict.fromkeys(write_events(seen)):
        if (place, text) not in skipped:
            places = [row for row, moment in enumerate(seen) if moment[:2] == (place, text)]
            rows.add(min(places, key=lambda row: (row < middle, row)))
    return [seen[row] for row in sorted(rows | {row + 1 for row in rows})]


def write_events(seen: list[Moment]) -> Iterator[tuple[str, str]]:
    """What belongs to write transactions, and what reaches the disk otherwise."""
    writing: set[str] = set()
    for place, text, _ in seen:
        if text.startswith("BEGIN IMMEDIATE"):
            writing.add(place)
        if place in writing or place.endswith("disk"):
            yield place, text
        if text in ("COMMIT", "ROLLBACK"):
            writing.discard(place)


def is_commit(moment: Moment, place: str) -> bool:
    return moment[:2] == (place, "COMMIT")


def disturb(
    scenarios: list[Scenario],
    servers: list[Server],
    events: Path,
    folder: Path,
) -> None:
    """Kill the command at each moment, run it again, compare."""
    idle: SimpleQueue[Server] = SimpleQueue()
    for each in servers:
        idle.put(each)

    def ends_alike(job: tuple[int, Scenario, Moment]) -> str | None:
        number, scenario, moment = job
        home = scenario.copy_to(folder / f"home{number}")
        dump = folder / f"{number}.dump"
        own = idle.get()
        try:
            if own.run(home, events, kill=moment) != SIGKILL:
                return f"never reached: {moment}"
            own.run(home, events, dump=str(dump))
        finally:
            idle.put(own)
        found = json.loads(dump.read_text())
        shutil.rmtree(home)
        expected = scenario.expected
        differing = [name for name in expected if found[name] != expected[name]]
        return f"{differing} differ after {moment}" if differing else None

    jobs = [(scenario, moment) for scenario in scenarios for moment in scenario.moments]
    assert_covers_what_it_must(scenarios)
    with ThreadPoolExecutor(len(servers)) as pool:
        numbered = [(number, *job) for number, job in enumerate(jobs)]
        failures = [failure for failure in pool.map(ends_alike, numbered) if failure]
    assert not failures, "\n".join(failures)


def assert_covers_what_it_must(scenarios: list[Scenario]) -> None:
    """Both databases' transactions from beginning to end, and the flush of dead letters."""
    heard = {moment[:2] for scenario in scenarios for moment in scenario.moments}
    for database in (DATABASES[0], f"{STAGE} {DATABASES[1]}"):
        texts = [text for place, text in heard if place == database]
        for word in ("BEGIN", "INSERT", "DELETE", "COMMIT"):
            assert any(text.lstrip().startswith(word) for text in texts), (database, word)
    assert any("INTO follows" in text for _, text in heard), "follows were never merged"
    assert ("disk", "fsync dead_letters.jsonl") in heard
    for text in ("fsync ?.log", "replace ?-?.parquet.?.partial", "unlink ?.log"):
        assert (f"{STAGE} disk", text) in heard


def events_of_all_kinds(folder: Path) -> list[bytes]:
    """Lines of a small network in a disturbed order, with bad ones and departures."""
    made = write_synthetic_network(folder / "network", num_users=14, posts_per_user=2.0, seed=3)
    lines = made.events.read_bytes().splitlines(keepends=True)
    late = "2026-02-01T00:00:00Z"
    departures = [
        line("user.deleted", id=f"gone{number}", time=late, data={"user_id": f"user{number:04}"})
        + b"\n"
        for number in (2, 5, 9)
    ]
    third = len(lines) // 3
    return [*lines[: 2 * third], *departures[:2], *lines[2 * third :], departures[2]]


pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
