"""The SQLite backend: the conformance class, and what only SQLite has."""

import multiprocessing
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from featurestore.errors import (
    FormatRefused,
    StoreBusy,
    StoreUnavailable,
)
from featurestore.online import sqlite_file
from featurestore.online.open import open_online_store
from featurestore.online.sqlite_rows import feast_seconds, from_feast_seconds
from featurestore.online.sqlite_store import SqliteStore
from featurestore.online.store import OnlineStore
from featurestore.settings import FeatureStoreSettings
from foundation.errors import SettingInvalid
from tests.featurestore.conformance import VIEW, OnlineStoreConformance, Opener


class TestSqliteStore(OnlineStoreConformance):
    """All of the contract on SQLite."""

    @pytest.fixture
    def opener(self, settings: FeatureStoreSettings) -> Opener:
        def open_store(*, read_only: bool = False, project: str = "mmga") -> OnlineStore:
            return open_online_store(replace(settings, project=project), read_only=read_only)

        return open_store


@pytest.fixture(scope="module")
def new_store(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], OnlineStore]:
    """Opens an empty store at each call."""
    folder, numbers = tmp_path_factory.mktemp("stores"), count()
    return lambda: SqliteStore.at(folder / f"{next(numbers)}.db", "mmga")


def columns(num_users: int, value: float) -> dict[str, np.ndarray]:
    return {"x": np.full(num_users, value), "y": np.full(num_users, value)}


def test_no_store_yet_is_one_line(settings: FeatureStoreSettings) -> None:
    with pytest.raises(StoreUnavailable, match="does not exist: run `mmga ingest` first"):
        open_online_store(settings, read_only=True)


def test_a_newer_format_is_refused(settings: FeatureStoreSettings) -> None:
    open_online_store(settings).close()
    with sqlite3.connect(settings.home / "online.db") as connection:
        connection.execute("UPDATE _format SET version = 3")
    with pytest.raises(FormatRefused, match="install the newer version"):
        open_online_store(settings)


def test_one_with_an_older_pointer_is_refused(settings: FeatureStoreSettings) -> None:
    open_online_store(settings).close()
    with sqlite3.connect(settings.home / "online.db") as connection:
        connection.execute("DROP TABLE _pointer")
        connection.execute("UPDATE _format SET version = 1")
    for read_only in (True, False):
        with pytest.raises(FormatRefused, match="delete its data"):
            open_online_store(settings, read_only=read_only)


def test_a_file_that_is_no_database_is_one_line(settings: FeatureStoreSettings) -> None:
    settings.home.mkdir()
    (settings.home / "online.db").write_text("not a database " * 100)
    with pytest.raises(StoreUnavailable, match=r"online\.db cannot be used"):
        open_online_store(settings)


def test_a_home_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable, match="cannot be locked"):
        open_online_store(FeatureStoreSettings.at(tmp_path / "file"))


def test_an_unknown_scheme_is_refused_without_its_password(tmp_path: Path) -> None:
    url = "mysql://me:secret@host/db"
    with pytest.raises(SettingInvalid, match="mysql://host/db") as raised:
        open_online_store(FeatureStoreSettings.at(tmp_path, online_store_url=url))
    assert "secret" not in str(raised.value)


def test_a_closed_store_says_so(settings: FeatureStoreSettings) -> None:
    store = open_online_store(settings)
    store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        store.read(VIEW, ["a"], ["x"])
    with pytest.raises(StoreUnavailable, match="closed"):
        store.write(VIEW, ["a"], columns(1, 1), commit_time=1)


def test_a_writer_waits_for_the_lock_and_then_says_so(
    settings: FeatureStoreSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_online_store(settings)
    monkeypatch.setattr(sqlite_file, "LOCK_TIMEOUT_SECONDS", 0.05)
    with FileLock(settings.home / "online.db.lock"), pytest.raises(StoreBusy, match="held by"):
        store.write(VIEW, ["a"], columns(1, 1), commit_time=1)
    assert store.write(VIEW, ["a"], columns(1, 1), commit_time=1) == 1
    store.close()


def test_no_transaction_is_longer_than_ten_thousand_rows(
    settings: FeatureStoreSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    write_rows = SqliteStore.write_rows

    def spy(self: SqliteStore, view: str, rows: list) -> int:  # type: ignore[type-arg]
        sizes.append(sum(len(row.cells) + 1 for row in rows))
        return write_rows(self, view, rows)

    monkeypatch.setattr(SqliteStore, "write_rows", spy)
    store = open_online_store(settings)
    users = [str(number) for number in range(7_000)]
    store.write(VIEW, users, columns(7_000, 1.0), commit_time=1)
    store.close()
    assert sum(sizes) == 21_000
    assert max(sizes) <= 10_000


def test_the_journal_is_a_write_ahead_log(settings: FeatureStoreSettings) -> None:
    open_online_store(settings).close()
    with sqlite3.connect(settings.home / "online.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def write_many(settings: FeatureStoreSettings, start: int) -> None:
    """One of several writers: rows whose value is their commit time."""
    store = open_online_store(settings)
    users = [f"user{number}" for number in range(50)]
    for time_ in range(start, 200, 4):
        store.write(VIEW, users, columns(50, float(time_)), commit_time=time_)
    store.close()


def test_processes_that_write_at_once_lose_nothing_and_tear_nothing(
    settings: FeatureStoreSettings,
) -> None:
    open_online_store(settings).close()
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_many, args=(settings, start)) for start in range(4)]
    for writer in writers:
        writer.start()
    reader = open_online_store(settings, read_only=True)
    users = [f"user{number}" for number in range(50)]
    while any(writer.is_alive() for writer in writers):
        rows = reader.read(VIEW, users, ["x", "y"])
        np.testing.assert_array_equal(rows.features["x"], rows.features["y"])
        if rows.present.any():
            np.testing.assert_array_equal(rows.features["x"], rows.commit_times)
        time.sleep(0.01)
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 4
    assert reader.read(VIEW, users, ["x"]).features["x"].tolist() == [199.0] * 50
    reader.close()


def test_threads_share_a_store(settings: FeatureStoreSettings) -> None:
    store = open_online_store(settings)
    store.write(VIEW, ["a"], columns(1, 1.0), commit_time=1)
    found: list[float] = []

    def read() -> None:
        found.extend(store.read(VIEW, ["a"], ["x"]).features["x"].tolist())

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.close()
    assert found == [1.0] * 8


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_seconds_are_what_feast_stores_in_any_zone(
    zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from feast.infra.online_stores.sqlite import adapt_datetime_epoch, convert_timestamp

    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        moment = datetime(2026, 11, 21, 10, 20, 30, 999_999, tzinfo=UTC)
        micros = int(moment.timestamp()) * 1_000_000 + 999_999
        stored = adapt_datetime_epoch(moment.replace(tzinfo=None))
        assert feast_seconds(micros) == stored
        assert from_feast_seconds(stored) == micros - 999_999
        assert convert_timestamp(str(stored).encode()) == datetime(2026, 11, 21, 10, 20, 30)
    finally:
        monkeypatch.undo()
        time.tzset()
