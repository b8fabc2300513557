"""Lookups in process and over HTTP: users a second, and the time of a request (p50, p99).

Input: 10,000 users, each with 16 statistics and vectors of 256 + 256 + 256 float32 in the embedded
online store, seed 0, written once. A request asks all 19 features of 1 or of 100 users, drawn at
random, the same for both. Over HTTP it is `POST /get-online-features` on one kept connection, the
same body for both servers, each in a process of its own. The rival reads the same file through
stock Feast. Turns alternate, three after one that does not count; a turn is 300 requests of 1 user
or 30 of 100. In each turn's first request both must give the same values.
"""

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.measure import Row
from benchmarks.rivals.feast_serving import FeastReader, feast_server
from featurestore.definitions import MODALITIES, USER_ACTIVITY, representation_name
from featurestore.feast_adapter.registry import FeatureRegistry
from featurestore.generations.base_index import BaseIndex
from featurestore.generations.generation import Generations
from featurestore.generations.indexes import BaseIndexes
from featurestore.online.open import open_online_store
from featurestore.representation import representation
from featurestore.settings import FeatureStoreSettings
from foundation.watermark import Watermark
from graphdb import open_graph
from graphdb.statistics import STATISTICS
from serving.services import open_services
from serving.settings import ServingSettings

NUM_USERS = 10_000
WIDTH = 256
GENERATION = "g1"
COMMIT_TIME = 1_790_000_000_000_000
FEATURES = (
    *(f"{USER_ACTIVITY}:{name}" for name in STATISTICS),
    *(f"{representation_name(GENERATION)}:{name}" for name in MODALITIES),
)
NUM_REQUESTS = {1: 300, 100: 30}
ROUNDS = 3

Columns = dict[str, list[Any]]
Reader = Callable[[Sequence[str]], Columns]


def run() -> list[Row]:
    """Both ways, 1 and 100 users a request."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        home = Path(folder) / "home"
        registry = write_home(home)
        feast = FeastReader(registry.stock_config(), FEATURES)
        ours = stack.enter_context(our_reader(home))
        rows = [row for size in (1, 100) for row in compare("in process", size, ours, feast.read)]
        our_http = stack.enter_context(our_http_reader(home))
        port = free_port()
        address = stack.enter_context(
            feast_server(registry.stock_config(), Path(folder) / "repository", port)
        )
        feast_http = http_reader(address)
        for size in (1, 100):
            rows += compare("over HTTP", size, our_http, feast_http)
    return rows


def compare(way: str, size: int, ours: Reader, rival: Reader) -> list[Row]:
    """Users a second, p50 and p99 of requests for `size` users."""
    rng = np.random.default_rng(0)
    turns: list[tuple[list[float], list[float]]] = []
    for turn in range(ROUNDS + 1):
        numbers = rng.integers(0, NUM_USERS, (NUM_REQUESTS[size], size))
        requests = [[user_name(number) for number in row] for row in numbers.tolist()]
        assert_same(ours(requests[0]), rival(requests[0]))
        pair = seconds_of(ours, requests), seconds_of(rival, requests)
        if turn:
            turns.append(pair)
    name = f"lookup {way}, {size} user{'s' if size > 1 else ''} a request"
    return [
        row(name, "users/s", "higher", turns, lambda seconds: size * len(seconds) / sum(seconds)),
        row(f"{name}: p50", "ms", "lower", turns, lambda s: 1e3 * float(np.percentile(s, 50))),
        row(f"{name}: p99", "ms", "lower", turns, lambda s: 1e3 * float(np.percentile(s, 99))),
    ]


def row(
    name: str,
    unit: str,
    better: str,
    turns: Sequence[tuple[list[float], list[float]]],
    figure: Callable[[list[float]], float],
) -> Row:
    """Medians over turns of a figure of the requests' seconds."""
    pairs = [(figure(mine), figure(theirs)) for mine, theirs in turns]
    return Row(
        name=name,
        unit=unit,
        ours=statistics.median(mine for mine, _ in pairs),
        rival_name="Feast",
        rival=statistics.median(theirs for _, theirs in pairs),
        ratio=statistics.median(mine / theirs for mine, theirs in pairs),
        rounds=len(turns),
        better=better,
    )


def seconds_of(read: Reader, requests: Sequence[Sequence[str]]) -> list[float]:
    """How long each request took."""
    seconds = []
    for request in requests:
        start = time.perf_counter()
        read(request)
        seconds.append(time.perf_counter() - start)
    return seconds


def assert_same(ours: Columns, rival: Columns) -> None:
    """Both answers hold the same users and float32 values, none missing."""
    assert list(ours["user_id"]) == list(rival["user_id"])
    for reference in FEATURES:
        name = reference.partition(":")[2]
        mine, theirs = (np.array(each[name], np.float32) for each in (ours, rival))
        assert np.isfinite(mine).all()
        np.testing.assert_array_equal(mine, theirs)


@contextmanager
def our_reader(home: Path) -> Iterator[Reader]:
    """Our lookup as Python services use it: arrays of each user."""
    settings = ServingSettings.from_environ({"MMGA_HOME": str(home)})
    with open_services(settings) as services:

        def read(user_ids: Sequence[str]) -> Columns:
            users = services.lookup.users(user_ids).users
            columns: Columns = {"user_id": [user.user_id for user in users]}
            for name in MODALITIES:
                columns[name] = [getattr(user, name) for user in users]
            for name in STATISTICS:
                columns[name] = [user.statistics[name] for user in users if user.statistics]
            return columns

        yield read


@contextmanager
def our_http_reader(home: Path) -> Iterator[Reader]:
    """`mmga serve` in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mmga", "serve", "--port", "0"],
        env={**os.environ, "MMGA_HOME": str(home)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        yield http_reader(process.stderr.readline().partition(" on ")[2].split()[0])
    finally:
        process.terminate()
        process.communicate(timeout=30)


def http_reader(address: str) -> Reader:
    """Asks Feast's protocol on one kept connection; waits until the server answers."""
    client = httpx.Client(base_url=address, timeout=60)

    def read(user_ids: Sequence[str]) -> Columns:
        body = {"features": FEATURES, "entities": {"user_id": user_ids}}
        response = client.post("/get-online-features", json=body)
        response.raise_for_status()
        answer = response.json()
        names = answer["metadata"]["feature_names"]
        return {
            name: column["values"] for name, column in zip(names, answer["results"], strict=True)
        }

    deadline = time.monotonic() + 120
    while True:
        try:
            read([user_name(0)])
        except httpx.HTTPError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return read


def write_home(home: Path) -> FeatureRegistry:
    """Statistics and one active generation of all users, and Feast's definitions of both."""
    settings = FeatureStoreSettings.at(home)
    open_graph(f"sqlite:///{home / 'graph.db'}").close()
    user_ids = [user_name(number) for number in range(NUM_USERS)]
    rng = np.random.default_rng(0)
    vectors = {name: rng.standard_normal((NUM_USERS, WIDTH), np.float32) for name in MODALITIES}
    scales = dict.fromkeys(MODALITIES, 1.0)
    dims = dict.fromkeys(MODALITIES, WIDTH)
    with closing(open_online_store(settings)) as online:
        activity = {name: rng.random(NUM_USERS, np.float32) for name in STATISTICS}
        online.write(USER_ACTIVITY, user_ids, activity, commit_time=COMMIT_TIME)
        online.write(
            representation_name(GENERATION),
            user_ids,
            {
                **vectors,
                "graph_version": np.ones(NUM_USERS, np.int64),
                "computed_at": np.full(NUM_USERS, np.datetime64(COMMIT_TIME, "us")),
                "provisional": np.zeros(NUM_USERS, np.bool_),
            },
            commit_time=COMMIT_TIME,
        )
        online.change_pointer(lambda found: found.activated(GENERATION, reason="benchmark", time=1))
    fused = representation(vectors["graph"], vectors["image"], vectors["text"], scales)
    generations = Generations(settings)
    generations.begin(GENERATION)
    manifest = {
        "created_at": "2026-11-21T00:00:00+00:00",
        "graph_id": "benchmark",
        "graph_version": 1,
        "commit_time": COMMIT_TIME,
        "dims": dims,
        "scales": scales,
        "num_users": NUM_USERS,
    }
    generations.seal(GENERATION, manifest)
    BaseIndexes(settings).put(
        GENERATION,
        BaseIndex.of(user_ids, fused).save,
        Watermark(graph_id="benchmark", version=1, commit_time=COMMIT_TIME),
    )
    registry = FeatureRegistry(settings)
    registry.apply_statistics(STATISTICS)
    registry.apply_generation(GENERATION, dims)
    return registry


def user_name(number: int) -> str:
    """The id of a user."""
    return f"user{number:06d}"


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
