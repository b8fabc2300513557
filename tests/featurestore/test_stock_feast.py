"""Stock Feast, where none of our packages can be imported, reads what we write and the reverse."""

import json
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featurestore.definitions import (
    MODALITIES,
    USER_ACTIVITY,
    USER_REPRESENTATION,
    representation_name,
)
from featurestore.errors import GenerationInUse, GenerationMissing
from featurestore.feast_adapter.registry import FeatureRegistry
from featurestore.history import History
from featurestore.history_rows import Slice
from featurestore.online.open import open_online_store
from featurestore.online.store import OnlineStore
from featurestore.settings import FeatureStoreSettings

NAMES = ("num_posts", "mean_likes")
VIEW = representation_name("g1")
DIMS = {"graph": 8, "image": 4, "text": 6}
NOON = 1_763_726_400_000_000
SECOND = 1_000_000


class StockFeast:
    """A process that has Feast and not us."""

    def __init__(self) -> None:
        script = Path(__file__).with_name("stock_feast.py")
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(script), sysconfig.get_path("purelib")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, registry: FeatureRegistry, *requests: dict[str, Any]) -> list[dict[str, Any]]:
        """Answers to requests about one home."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        line = json.dumps({"config": registry.stock_config(), "requests": requests})
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answers: list[dict[str, Any]] = json.loads(self.process.stdout.readline())
        return answers

    def close(self) -> None:
        """End it by the end of its input."""
        self.process.communicate()
        assert self.process.returncode == 0


@pytest.fixture(scope="module")
def stock() -> Iterator[StockFeast]:
    """One process for the tests of this module, since Feast takes seconds to import."""
    process = StockFeast()
    yield process
    process.close()


@pytest.fixture(
    params=["embedded", pytest.param("servers", marks=pytest.mark.servers("Redis", "PostgreSQL"))]
)
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> FeatureStoreSettings:
    """A home in files, and one whose features are on Redis and definitions on PostgreSQL."""
    if request.param == "embedded":
        return FeatureStoreSettings.at(tmp_path / "home")
    return FeatureStoreSettings.at(
        tmp_path / "home",
        online_store_url=request.getfixturevalue("redis_url"),
        registry_url=request.getfixturevalue("postgres_url"),
    )


def vectors(users: list[str]) -> dict[str, np.ndarray]:
    """A representation view's columns."""
    rng = np.random.default_rng(0)
    return {
        **{name: rng.normal(size=(len(users), DIMS[name])).astype(np.float32) for name in DIMS},
        "graph_version": np.full(len(users), 12),
        "computed_at": np.full(len(users), np.datetime64("2026-11-21T12:00:00")),
        "provisional": np.array([row % 2 == 0 for row in range(len(users))]),
    }


@pytest.fixture
def registry(settings: FeatureStoreSettings) -> FeatureRegistry:
    """The statistics, and two generations of which the first is active."""
    registry = FeatureRegistry(settings)
    registry.apply_statistics(NAMES)
    registry.apply_generation("g1", DIMS)
    registry.apply_generation("g2", DIMS)
    registry.activate_service("g1")
    return registry


@pytest.fixture
def online(settings: FeatureStoreSettings, registry: FeatureRegistry) -> OnlineStore:
    """The online store of the same home."""
    return open_online_store(settings)


def test_stock_feast_reads_what_we_write(
    stock: StockFeast, registry: FeatureRegistry, online: OnlineStore
) -> None:
    users = ["ann", "bob", "Zoë \U0001f600"]
    statistics = {name: np.array([0.1, 2.0, 3.5], np.float32) for name in NAMES}
    statistics |= {"graph_version": np.full(3, 12), "event_time": np.full(3, NOON)}
    columns = vectors(users)
    online.write(USER_ACTIVITY, users, statistics, commit_time=NOON)
    online.write(VIEW, users, columns, commit_time=NOON)
    wanted = [f"{USER_ACTIVITY}:{name}" for name in statistics]
    activity, representation = stock.ask(
        registry,
        {"features": wanted, "users": [*users, "nobody"]},
        {"service": USER_REPRESENTATION, "users": [*users, "nobody"]},
    )
    assert activity["user_id"] == [*users, "nobody"]
    for name, column in statistics.items():
        assert activity[name] == [*column.tolist(), None]
    for name in MODALITIES:
        assert representation[name][-1] is None
        np.testing.assert_array_equal(
            np.array(representation[name][:-1], np.float32), columns[name]
        )
    assert representation["graph_version"] == [12, 12, 12, None]
    assert representation["provisional"] == [True, False, True, None]
    assert representation["computed_at"][0] == "2026-11-21T12:00:00+00:00"


def test_we_read_what_stock_feast_writes(
    stock: StockFeast, registry: FeatureRegistry, online: OnlineStore
) -> None:
    rows = {"user_id": ["ann", "bob"], "num_posts": [1.5, 2.5], "mean_likes": [0.1, 0.2]}
    rows |= {"graph_version": [3, 4], "event_time": [5, 6]}
    later = {name: vectors(["ann"])[name].tolist() for name in MODALITIES}
    later |= {"user_id": ["ann"], "graph_version": [13], "provisional": [False]}
    later |= {"computed_at": ["2026-11-21T12:00:05+00:00"]}
    online.write(USER_ACTIVITY, ["ann"], {"num_posts": np.ones(1, np.float32)}, commit_time=NOON)
    at = datetime.fromtimestamp(NOON // SECOND + 5, UTC).isoformat()
    stock.ask(
        registry,
        {"write": USER_ACTIVITY, "rows": rows, "times": [at, at]},
        {"write": VIEW, "rows": later, "times": [at], "time_columns": ["computed_at"]},
    )
    activity = online.read(USER_ACTIVITY, ["bob", "ann", "nobody"], [*NAMES, "graph_version"])
    assert activity.present.tolist() == [True, True, False]
    np.testing.assert_array_equal(activity.features["num_posts"], [2.5, 1.5, np.nan])
    assert activity.features["graph_version"].tolist() == [4, 3, 0]
    assert activity.features["mean_likes"].dtype == np.float32
    assert activity.commit_times.tolist() == [NOON + 5 * SECOND, NOON + 5 * SECOND, 0]
    older = {"num_posts": np.zeros(1, np.float32)}
    assert online.write(USER_ACTIVITY, ["ann"], older, commit_time=NOON + 4 * SECOND) == 0
    representation = online.read(VIEW, ["ann"], [*MODALITIES, "computed_at", "provisional"])
    for name in MODALITIES:
        np.testing.assert_array_equal(representation.features[name], vectors(["ann"])[name])
    assert representation.features["computed_at"] == np.datetime64("2026-11-21T12:00:05")
    assert representation.features["provisional"].tolist() == [False]
    assert next(iter(online.user_ids(VIEW))) == ["ann"]
    assert online.erase(["ann"], before=NOON + 24 * 3600 * SECOND) == 2


def test_our_feast_store_keeps_the_order_of_rows(
    registry: FeatureRegistry, online: OnlineStore
) -> None:
    import pandas as pd

    store = registry.feast_store()
    for value, seconds in ((2.0, 5.000_002), (1.0, 5.000_001)):
        frame = pd.DataFrame({"user_id": ["ann"], "num_posts": [value], "mean_likes": [value]})
        frame = frame.assign(graph_version=[1], event_time=[1])
        stamp = pd.Timestamp(NOON + round(seconds * SECOND), unit="us", tz="UTC")
        store.write_to_online_store(
            USER_ACTIVITY, df=frame.assign(event_timestamp=stamp, created=stamp)
        )
    rows = online.read(USER_ACTIVITY, ["ann"], ["num_posts"])
    assert rows.features["num_posts"].tolist() == [2.0]
    assert rows.commit_times.tolist() == [NOON + 5 * SECOND + 2]


def test_the_service_names_the_active_generation(registry: FeatureRegistry) -> None:
    assert registry.active_service() == "g1"
    with pytest.raises(GenerationInUse, match="activate another first"):
        registry.drop_generation("g1")
    registry.activate_service("g2")
    registry.drop_generation("g1")
    registry.drop_generation("g1")
    names = {each.name for each in registry.feast_store().list_feature_services()}
    assert names == {USER_REPRESENTATION, representation_name("g2")}
    with pytest.raises(GenerationMissing, match="publish it first"):
        registry.activate_service("g1")


def test_applying_again_changes_nothing_and_needs_no_feast(
    settings: FeatureStoreSettings, registry: FeatureRegistry
) -> None:
    code = (
        "import sys; from pathlib import Path; from featurestore.settings import *; "
        "from featurestore.feast_adapter.registry import FeatureRegistry as R; "
        f"R(FeatureStoreSettings.at(Path({str(settings.home)!r}), "
        f"online_store_url={settings.online_store_url!r}, registry_url={settings.registry_url!r}"
        f")).apply_statistics({NAMES!r}); "
        "assert 'feast' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    registry.apply_statistics((*NAMES, "max_likes"))
    view = registry.feast_store().get_feature_view(USER_ACTIVITY)
    assert "max_likes" in {each.name for each in view.features}


@pytest.mark.parametrize("settings", ["embedded"], indirect=True)
def test_stock_feast_reads_the_history_as_of_a_time(
    stock: StockFeast,
    settings: FeatureStoreSettings,
    registry: FeatureRegistry,
) -> None:
    history, users = History(settings), ["ann", "bob"]
    log = history.log(USER_ACTIVITY)
    for version, value in ((1, 1.0), (2, 2.0), (3, 3.0)):
        columns = {name: np.full(2, value, np.float32) for name in NAMES}
        columns |= {"graph_version": np.full(2, version), "event_time": np.full(2, version)}
        log.append(
            Slice(graph_id="g", since=version - 1, version=version),
            users,
            columns,
            event_times=np.array([NOON + min(version, 2) * SECOND, NOON + version * SECOND]),
            commit_time=NOON + (10 + version) * SECOND,
        )
        columns = vectors(users)
        columns["graph"] = columns["graph"] * np.float32(version)
        history.append(
            VIEW,
            Slice(graph_id="g", since=-1, version=version),
            users,
            columns,
            event_times=np.full(2, NOON + version * SECOND),
            commit_time=NOON + version * SECOND,
        )
    log.settle()
    log.close()
    seconds = [0, 1, 2, 3, 0, 1, 2, 3]
    asked = {
        "users": ["ann"] * 4 + ["bob"] * 4,
        "as_of": [
            datetime.fromtimestamp(NOON // SECOND + each, UTC).isoformat() for each in seconds
        ],
    }
    wanted = [f"{USER_ACTIVITY}:{name}" for name in (*NAMES, "graph_version")]
    theirs, their_vectors = stock.ask(
        registry,
        {"features": wanted, **asked},
        {"features": [f"{VIEW}:graph", f"{VIEW}:provisional"], **asked},
    )
    times = np.array([NOON + each * SECOND for each in seconds])
    ours = history.as_of(USER_ACTIVITY, asked["users"], times, [*NAMES, "graph_version"])
    np.testing.assert_array_equal(ours.features["num_posts"], [np.nan, 1, 3, 3, np.nan, 1, 2, 3])
    found = ours.present  # Feast leaves out whoever has no row yet
    assert theirs["user_id"] == np.array(asked["users"])[found].tolist()
    for name in (*NAMES, "graph_version"):
        np.testing.assert_array_equal(theirs[name], ours.features[name][found])
    our_vectors = history.as_of(VIEW, asked["users"], times, ["graph", "provisional"])
    assert our_vectors.present.tolist() == found.tolist()
    np.testing.assert_array_equal(
        np.array(their_vectors["graph"], np.float32), our_vectors.features["graph"][found]
    )
    assert their_vectors["provisional"] == our_vectors.features["provisional"][found].tolist()
