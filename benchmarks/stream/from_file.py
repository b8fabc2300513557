"""Events a second from a file into the embedded graph, by the real command on one core.

Input: 2,000,000 follow events of 100,000 users, heavy tail, 5 % duplicates, 3 % unfollows,
seed 0, written by `ingest.synthetic.write_follow_events`; into an empty store until the last
commit, in batches of 10,000, the change feed on. The statistics consumer is off; what it adds
stands in a row of its own. The rival is a script without validation, positions or change feed.
Whole processes are timed, interpreter start included. After each turn both hold the same follows.
"""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measure import Row, alternate
from graphdb import open_graph
from ingest.synthetic import write_follow_events

NUM_EVENTS = 2_000_000
NUM_USERS = 100_000
QUICK = {"num_events": 20_000}


def run(num_events: int = NUM_EVENTS) -> list[Row]:
    """Measure ours and the rival in turn, then ours with the statistics consumer on."""
    with tempfile.TemporaryDirectory() as folder:
        bench = IngestBenchmark(Path(folder), num_events)
        row = alternate(
            "ingest: follow events from a file, one core",
            "events/s",
            ours=bench.ours,
            rival=bench.rival,
            rival_name="json.loads + upsert script",
            rounds=3,
            warm_up=False,
        )
        with_statistics = Row(
            name="ingest: the same, and the statistics of all users projected",
            unit="events/s",
            ours=bench.ours(statistics=True),
            rival_name="ours without statistics",
            rival=row.ours,
            rounds=1,
        )
    return [row, with_statistics]


class IngestBenchmark:
    """The events file and a fresh store for each turn."""

    def __init__(self, folder: Path, num_events: int) -> None:
        self.folder = folder
        self.num_events = num_events
        self.events = folder / "follows.jsonl"
        write_follow_events(
            self.events,
            num_events=num_events,
            num_users=NUM_USERS,
            duplicates=0.05,
            unfollows=0.03,
            seed=0,
        )

    def ours(self, *, statistics: bool = False) -> float:
        """Events a second of `mmga ingest` into an empty home, which stays for the comparison."""
        home = self.folder / "home"
        shutil.rmtree(home, ignore_errors=True)
        command = [sys.executable, "-m", "mmga", "ingest", "--events", str(self.events)]
        if not statistics:
            command.append("--no-statistics")
        return self.num_events / seconds_on_one_core(command, {"MMGA_HOME": str(home)})

    def rival(self) -> float:
        """Events a second of the script, whose follows must then be ours."""
        database = self.folder / "rival.db"
        database.unlink(missing_ok=True)
        module = "benchmarks.rivals.json_to_sqlite"
        command = [sys.executable, "-m", module, str(self.events), str(database)]
        rate = self.num_events / seconds_on_one_core(command, {})
        assert our_follows(self.folder / "home/graph.db") == rival_follows(database)
        return rate


def seconds_on_one_core(command: list[str], environment: dict[str, str]) -> float:
    """Wall seconds of a whole process that is bound to one core."""
    core = min(os.sched_getaffinity(0))
    start = time.perf_counter()
    subprocess.run(
        command,
        check=True,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    return time.perf_counter() - start


def our_follows(database: Path) -> set[tuple[str, str, int]]:
    """Live follows of our store, as (follower, followee, since)."""
    store = open_graph(f"sqlite:///{database}", read_only=True)
    follows = store.follows()
    store.close()
    ids = follows.user_ids
    columns = zip(
        follows.followers.tolist(), follows.followees.tolist(), follows.since.tolist(), strict=True
    )
    return {(ids[follower], ids[followee], since) for follower, followee, since in columns}


def rival_follows(database: Path) -> set[tuple[str, str, int]]:
    """Live follows of the rival's table."""
    connection = sqlite3.connect(database)
    rows = set(connection.execute("SELECT follower, followee, time FROM follows WHERE live"))
    connection.close()
    return rows
