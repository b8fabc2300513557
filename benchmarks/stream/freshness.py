"""How soon the statistics of a commit are served, and what that costs ingest.

A steady 2,000 events/s (40 % posts, 40 % follows, 20 % engagement) are appended to a file for five
minutes, which `mmga ingest --follow` reads; then the same without statistics. What is asked for,
embedded and on Neo4j with Redis:

- from a commit to the watermark that says it is served, weighted by changed keys: p50 at most 2 s,
  p99 at most 5 s;
- the CPU seconds of ingest's own process for an event: at most 1.05 of those without statistics.

For information: the CPU seconds of the statistics' process for an event, and the highest rate, from
a file of 100,000 events that waits, with statistics against without.
"""

import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from threading import Event, Thread

import numpy as np
import psutil
from numpy.typing import NDArray

from benchmarks.measure import Row, compare
from featurestore.online.open import open_online_store
from featurestore.online.store import OnlineStore
from featurestore.settings import FeatureStoreSettings
from graphdb import open_graph
from graphdb.settings import GraphSettings
from graphdb.store import Change, GraphStore
from ingest.synthetic.posts import MIX, post_lines
from tests.faults.worker import Worker
from tests.servers import ServerMissing, start_neo4j, start_redis

EVENTS_A_SECOND = 2_000
NUM_USERS = 50_000
TICK_SECONDS = 0.05
LOOK_SECONDS = 0.02
NUM_FIRST = 20_000
"""Events that are there before the clock starts: a graph, and definitions in the registry."""
NUM_WAITING = 100_000
MAX_MEDIAN_SECONDS, MAX_P99_SECONDS, MAX_CPU_RATIO = 2.0, 5.0, 1.05
QUICK = {"seconds": 5.0, "num_first": 2_000, "num_waiting": 4_000}


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One run: seconds from commit to served (V,) with weights, CPU seconds an event, events/s."""

    seconds: NDArray[np.float64]
    weights: NDArray[np.float64]
    ingest_cpu: float
    stage_cpu: float
    highest_rate: float

    def quantile(self, share: float) -> float:
        """The weighted quantile of the seconds."""
        order = np.argsort(self.seconds)
        sums = np.cumsum(self.weights[order])
        return float(self.seconds[order][np.searchsorted(sums, share * sums[-1])])


def run(
    seconds: float = 300.0, num_first: int = NUM_FIRST, num_waiting: int = NUM_WAITING
) -> list[Row]:
    """Measure embedded and, where there are servers, on those."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        bench = FreshnessBenchmark(place, seconds, num_first, num_waiting)
        rows += bench.rows("embedded", {})
        try:
            with servers(place) as environ:
                rows += bench.rows("on Neo4j and Redis", environ)
        except ServerMissing as error:
            print(f"  servers left out: {error}", file=sys.stderr)
    return rows


@contextmanager
def servers(folder: Path) -> Iterator[Mapping[str, str]]:
    """Neo4j and Redis of their own, as settings of ours. Raises ServerMissing."""
    redis = start_redis(folder / "redis")
    try:
        neo4j = start_neo4j(folder / "neo4j", heap="1g")
        try:
            yield {"MMGA_GRAPH_URL": neo4j.url, "MMGA_ONLINE_STORE_URL": redis.url}
        finally:
            neo4j.kill()
    finally:
        redis.kill()


class FreshnessBenchmark:
    """The events, and one run after the other, each on a home and a project of its own."""

    def __init__(self, folder: Path, seconds: float, num_first: int, num_waiting: int) -> None:
        self.folder = folder
        self.num_steady = int(seconds * EVENTS_A_SECOND)
        self.num_first = num_first
        self.num_waiting = num_waiting

    def rows(self, name: str, environ: Mapping[str, str]) -> list[Row]:
        """Measure with statistics, and then without."""
        ours = self.turn(f"{name} with".replace(" ", "_"), environ)
        bare = self.turn(f"{name} without".replace(" ", "_"), environ, "--no-statistics")
        title = f"freshness, {name}"
        return [
            Row(
                name=f"{title}: commit to served, {label}",
                unit="s",
                ours=ours.quantile(share),
                better="lower",
                bar=bar,
            )
            for label, share, bar in (
                ("p50", 0.5, MAX_MEDIAN_SECONDS),
                ("p99", 0.99, MAX_P99_SECONDS),
            )
        ] + [
            compare(
                f"{title}: CPU of ingest for an event",
                "us",
                ours=[ours.ingest_cpu * 1e6],
                rival=[bare.ingest_cpu * 1e6],
                rival_name="without statistics",
                better="lower",
                bar=MAX_CPU_RATIO,
            ),
            compare(
                f"{title}: CPU of the statistics for an event",
                "us",
                ours=[ours.stage_cpu * 1e6],
                rival=[ours.ingest_cpu * 1e6],
                rival_name="ingest's own",
                better="lower",
            ),
            compare(
                f"{title}: highest rate",
                "events/s",
                ours=[ours.highest_rate],
                rival=[bare.highest_rate],
                rival_name="without statistics",
            ),
        ]

    def turn(self, name: str, environ: Mapping[str, str], *words: str) -> Turn:
        """One run: first events, the steady ones, and those that wait."""
        home, events = self.folder / name, self.folder / f"{name}.jsonl"
        lines = post_lines(num_users=NUM_USERS, shares=MIX)
        events.write_bytes(b"".join(islice(lines, self.num_first)))
        settings = {**environ, "MMGA_HOME": str(home), "MMGA_PROJECT": name.lower()}
        worker = Worker(settings, self.folder / f"{name}.log", "--events", str(events), *words)
        try:
            with Watch(settings, events, worker, follows_statistics=not words) as watch:
                watch.wait()
                before, since = watch.cpu_seconds(), watch.graph.head().version
                with watch.looking():
                    append_steadily(events, islice(lines, self.num_steady))
                    watch.wait()
                ingest_cpu, stage_cpu = (
                    (after - first) / self.num_steady
                    for after, first in zip(watch.cpu_seconds(), before, strict=True)
                )
                seconds, weights = watch.latencies(since)
                rate = watch.highest_rate(b"".join(islice(lines, self.num_waiting)))
            worker.terminate()
        finally:
            worker.close()
        return Turn(
            seconds=seconds,
            weights=weights,
            ingest_cpu=ingest_cpu,
            stage_cpu=stage_cpu,
            highest_rate=self.num_waiting / rate,
        )


class Watch:
    """Looks at the stores from outside while a worker runs."""

    def __init__(
        self,
        environ: Mapping[str, str],
        events: Path,
        worker: Worker,
        *,
        follows_statistics: bool,
    ) -> None:
        self._environ = environ
        self._events = events
        self._worker = worker
        self._follows_statistics = follows_statistics
        self._seen: list[tuple[float, int]] = []
        self.graph: GraphStore
        self._online: OnlineStore | None = None

    def __enter__(self) -> "Watch":
        home = Path(self._environ["MMGA_HOME"])
        mark = "statistics.lock" if self._follows_statistics else "ingest.lock"
        self._worker.until((home / mark).exists)
        url = GraphSettings.from_environ(self._environ).graph_url
        self.graph = open_graph(url, read_only=True)
        if self._follows_statistics:
            self._online = open_online_store(
                FeatureStoreSettings.from_environ(self._environ), read_only=True
            )
        return self

    def __exit__(self, *_: object) -> None:
        self.graph.close()
        if self._online is not None:
            self._online.close()

    def wait(self) -> None:
        """Return when all lines are in the graph, and its statistics served."""
        self._worker.until(self._is_done, seconds=600.0)

    def highest_rate(self, lines: bytes) -> float:
        """Seconds until lines that come at once are all in the graph."""
        started = time.monotonic()
        with self._events.open("ab") as file:
            file.write(lines)
        self._worker.until(self._is_read, seconds=600.0)
        return time.monotonic() - started

    def cpu_seconds(self) -> tuple[float, float]:
        """Of ingest's own process, and of that of the statistics."""
        ingest = psutil.Process(self._worker.process_id)
        stages = [cpu_of(stage) for stage in ingest.children()]
        return cpu_of(ingest), sum(stages)

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Note when the watermark moves."""
        is_over = Event()

        def look() -> None:
            while not is_over.is_set() and self._online is not None:
                mark = self._online.watermark("statistics")
                if mark is not None and (not self._seen or self._seen[-1][1] != mark.version):
                    self._seen.append((time.time(), mark.version))
                time.sleep(LOOK_SECONDS)

        thread = Thread(target=look)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()

    def latencies(self, since: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Seconds from each commit to the watermark that passed it, and its number of keys."""
        if self._online is None:
            return np.zeros(0), np.zeros(0)
        times = np.array([moment for moment, _ in self._seen])
        versions = np.array([version for _, version in self._seen])
        changes = [change for change in self.graph.changes(since) if change.version <= versions[-1]]
        passed = np.searchsorted(versions, [change.version for change in changes])
        committed = np.array([change.commit_time / 1e6 for change in changes])
        return times[passed] - committed, np.array([float(num_keys(each)) for each in changes])

    def _is_read(self) -> bool:
        offsets = [position.offset for position in self.graph.positions()]
        return offsets == [self._events.stat().st_size]

    def _is_done(self) -> bool:
        if not self._is_read():
            return False
        mark = None if self._online is None else self._online.watermark("statistics")
        return self._online is None or (
            mark is not None and mark.version == self.graph.head().version
        )


def append_steadily(path: Path, lines: Iterator[bytes]) -> None:
    """Append lines at the steady rate, a piece each tick."""
    piece = int(EVENTS_A_SECOND * TICK_SECONDS)
    due = time.monotonic()
    with path.open("ab", buffering=0) as file:
        while batch := list(islice(lines, piece)):
            file.write(b"".join(batch))
            due += TICK_SECONDS
            time.sleep(max(0.0, due - time.monotonic()))


def cpu_of(process: psutil.Process) -> float:
    """CPU seconds of one process, without its children."""
    times = process.cpu_times()
    return float(times.user + times.system)


def num_keys(change: Change) -> int:
    """How many keys a commit changed."""
    return len(change.users) + len(change.posts) + len(change.follows)
