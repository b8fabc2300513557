"""The commands with features on Redis and definitions on PostgreSQL."""

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from redis import Redis

from featurestore.definitions import USER_ACTIVITY
from featurestore.online.open import open_online_store
from featurestore.online.redis_store import RedisStore
from featurestore.online.store import OnlineRows
from featurestore.settings import FeatureStoreSettings
from graphdb import open_graph
from graphdb.statistics import STATISTICS
from ingest.synthetic import SyntheticNetwork, write_synthetic_network
from tests.featurestore.redis_database import emptied
from tests.ingest.conftest import Run, start
from tests.servers import Server, start_redis


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> SyntheticNetwork:
    return write_synthetic_network(
        tmp_path_factory.mktemp("network"), num_users=25, posts_per_user=3, seed=4
    )


@pytest.fixture
def settings(
    home: Path, redis_server: Server, postgres_server: Server, monkeypatch: pytest.MonkeyPatch
) -> FeatureStoreSettings:
    """A project of its own on servers."""
    urls = {
        "online_store_url": emptied(redis_server.url, 13),
        "registry_url": postgres_server.url,
        "project": f"p{uuid4().hex}",
    }
    for name, value in urls.items():
        monkeypatch.setenv(f"MMGA_{name.upper()}", value)
    return FeatureStoreSettings.at(home, **urls)


@pytest.fixture
def own_server(redis_server: Server, tmp_path: Path) -> Iterator[Server]:
    """A Redis that a test may stop."""
    server = start_redis(tmp_path / "redis")
    yield server
    server.stop()


def statistics(settings: FeatureStoreSettings) -> tuple[list[str], OnlineRows]:
    """The statistics of all users, in the order of their ids."""
    store = open_online_store(settings, read_only=True)
    users = sorted(user for page in store.user_ids(USER_ACTIVITY) for user in page)
    rows = store.read(USER_ACTIVITY, users, STATISTICS)
    store.close()
    return users, rows


def stage(run: Run) -> dict[str, Any]:
    status: dict[str, Any] = json.loads(run("status", "--json").out)
    found: dict[str, Any] = status["stages"]["statistics"]
    return found


def test_statistics_are_on_redis_and_come_back_when_redis_loses_them(
    network: SyntheticNetwork, run: Run, settings: FeatureStoreSettings
) -> None:
    assert run("ingest", "--events", network.events).status == 0
    watermark = stage(run)["watermark"]
    users, rows = statistics(settings)
    assert len(users) == 25
    assert run("lookup", users[0]).status == 0
    emptied(settings.online_store_url, 13)
    assert stage(run)["watermark"] != watermark
    assert run("statistics").status == 0
    assert stage(run)["watermark"] == watermark
    users_again, rows_again = statistics(settings)
    assert users_again == users
    for name in STATISTICS:
        np.testing.assert_array_equal(rows_again.features[name], rows.features[name])


def test_ingest_waits_for_redis_and_goes_on(
    network: SyntheticNetwork,
    settings: FeatureStoreSettings,
    own_server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MMGA_ONLINE_STORE_URL", own_server.url)
    lines = network.events.read_bytes().splitlines(keepends=True)
    events = tmp_path / "events.jsonl"
    events.write_bytes(b"".join(lines[: len(lines) // 2]))
    process = start("ingest", "--events", events, "--follow")
    wait_for(lambda: Redis.from_url(own_server.url).exists(f"mmga:{settings.project}:watermarks"))
    own_server.stop()
    with events.open("ab") as file:
        file.write(b"".join(lines[len(lines) // 2 :]))
    assert process.stderr is not None
    for line in process.stderr:
        if "does not answer" in line:
            break
    assert process.poll() is None
    own_server.start()
    for line in process.stderr:
        if "going on after" in line:
            break
    store = RedisStore.at(own_server.url, settings.project, read_only=True)
    with closing(open_graph(f"sqlite:///{settings.home / 'graph.db'}", read_only=True)) as graph:
        version = graph.head().version
    mark = store.watermark("statistics")
    assert mark is not None
    assert mark.version == version
    store.close()
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, out


def wait_for(happened: Callable[[], object], seconds: float = 60) -> None:
    """Wait until something has happened."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.2)
