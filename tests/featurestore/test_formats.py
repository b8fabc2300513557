"""A store of another format is refused in one line: what each of them looks at."""

import sqlite3
from contextlib import closing

import numpy as np
import pytest

from featurestore.errors import FormatRefused
from featurestore.feast_adapter.registry import FeatureRegistry
from featurestore.generations.generation import Generations
from featurestore.history import History
from featurestore.history_rows import Slice
from featurestore.settings import FeatureStoreSettings
from foundation.format_version import Format

SLICE = Slice(graph_id="g", since=0, version=1, page=0)
TIMES = np.zeros(1, np.int64)


def test_a_refusal_names_store_place_versions_and_remedy() -> None:
    kept = Format(store="graph", version=2)
    assert kept.refusal("here", 2) is None
    assert kept.refusal("here", 3) == (
        "graph here has format 3, this software reads 2: install the newer version that wrote it"
    )
    assert kept.refusal("here", 1) == (
        "graph here has format 1, this software reads 2: run `mmga upgrade`"
    )


def test_a_history_of_another_format_is_neither_read_nor_written(
    settings: FeatureStoreSettings,
) -> None:
    history, columns = History(settings), {"x": np.ones(1)}
    history.append("user_activity", SLICE, ["a"], columns, event_times=TIMES, commit_time=1)
    mark = settings.history_root / "format.json"
    mark.write_text(mark.read_text().replace("1", "9"))
    later = Slice(graph_id="g", since=1, version=2, page=0)
    for use in (
        lambda: history.rows("user_activity"),
        lambda: history.log("user_activity"),
        lambda: history.append(
            "user_activity", later, ["a"], columns, event_times=TIMES, commit_time=1
        ),
    ):
        with pytest.raises(FormatRefused, match=r"^history .* has format 9, this software reads 1"):
            use()


def test_a_registry_of_another_format_is_neither_read_nor_written(
    settings: FeatureStoreSettings,
) -> None:
    settings.home.mkdir(exist_ok=True)
    registry = FeatureRegistry(settings)
    registry.check_writable()
    with closing(sqlite3.connect(settings.home / "registry.db")) as connection, connection:
        assert connection.execute("SELECT version FROM mmga_format").fetchall() == [(1,)]
        connection.execute("UPDATE mmga_format SET version = 9")
    for use in (registry.check_writable, lambda: registry.apply_statistics(["x"])):
        with pytest.raises(FormatRefused, match=r"^registry sqlite:.* has format 9"):
            use()


def test_a_generation_of_another_format_is_not_read(settings: FeatureStoreSettings) -> None:
    folder = settings.generations_root / "g1"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text('{"format_version": 9}')
    with pytest.raises(FormatRefused, match=r"^generation .*g1 has format 9, this software reads"):
        Generations(settings).get("g1")
