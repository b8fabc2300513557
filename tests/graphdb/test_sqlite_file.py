"""The embedded graph as a file: formats, folders, locks, log and processes."""

import gc
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from foundation.errors import SettingInvalid
from graphdb import open_graph
from graphdb.errors import FormatRefused, GraphBusy, GraphUnavailable
from graphdb.facts import Batch, FollowColumns
from graphdb.settings import GraphSettings
from graphdb.sqlite import connection
from graphdb.sqlite.store import SqliteGraph


def follows(start: int, count: int) -> Batch:
    """`count` new follows of users of their own."""
    numbers = range(start, start + count)
    return Batch(
        follows=FollowColumns(
            follower_ids=[f"a{number}" for number in numbers],
            followee_ids=[f"b{number % 97}" for number in numbers],
            times=list(numbers),
            ties=[0] * count,
            live=[True] * count,
        )
    )


def log_bytes(path: Path) -> int:
    log = Path(f"{path}-wal")
    return log.stat().st_size if log.exists() else 0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "graph.db"


def change_file(path: Path, statement: str) -> None:
    database = sqlite3.connect(path)
    with database:
        database.execute(statement)
    database.close()


def test_a_newer_format_is_refused(path: Path) -> None:
    SqliteGraph.open(path).close()
    change_file(path, "UPDATE meta SET format_version = 99")
    for read_only in (False, True):
        with pytest.raises(FormatRefused, match=r"format 99.*install the newer version"):
            SqliteGraph.open(path, read_only=read_only)


def test_a_foreign_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    change_file(path, "CREATE TABLE notes (text)")
    with pytest.raises(GraphUnavailable, match="not a graph of this software"):
        SqliteGraph.open(path)
    database = sqlite3.connect(path)
    assert database.execute("SELECT name FROM sqlite_master").fetchall() == [("notes",)]
    database.close()


def test_a_file_that_is_no_database_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "graph.db"
    path.write_bytes(b"{}\n" * 5000)
    with pytest.raises(GraphUnavailable, match="not a SQLite database; move it away") as caught:
        SqliteGraph.open(path)
    assert "\n" not in str(caught.value)


def test_a_damaged_file_is_one_line(path: Path) -> None:
    store = SqliteGraph.open(path)
    store.apply(follows(0, 5000))
    store.close()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))
    with pytest.raises(GraphUnavailable, match="damaged; restore a backup"):
        SqliteGraph.open(path, read_only=True).follows()


def test_a_home_that_is_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(GraphUnavailable, match=r"home/graph\.db"):
        SqliteGraph.open(tmp_path / "home" / "graph.db")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes where it likes")
def test_a_home_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(GraphUnavailable, match="folder can"):
        SqliteGraph.open(tmp_path / "graph.db")


def test_a_full_disk_rolls_back_and_is_one_line(path: Path) -> None:
    store = SqliteGraph.open(path)
    store.apply(follows(0, 10))
    before = store.digest()
    with store._database.reading() as raw:
        (num_pages,) = raw.execute("PRAGMA page_count").fetchone()
        raw.execute(f"PRAGMA max_page_count = {num_pages + 2}")
    with pytest.raises(GraphUnavailable, match="disk is full; free space"):
        store.apply(follows(10, 5000))
    assert (store.head().version, store.digest()) == (1, before)
    with store._database.reading() as raw:
        raw.execute(f"PRAGMA max_page_count = {num_pages + 10_000}")
    store.apply(follows(10, 5000))
    assert store.counts().follows == 5010
    store.close()


def test_a_lock_held_too_long_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LOCK_TIMEOUT_SECONDS", 0.05)
    store = SqliteGraph.open(path)
    holder = FileLock(f"{path}.lock")
    with holder, pytest.raises(GraphBusy, match=r"graph\.db\.lock"):
        store.apply(follows(0, 1))
    assert store.apply(follows(0, 1)).version == 1
    store.close()


def test_a_store_that_nobody_closed_closes_under_the_lock(path: Path) -> None:
    kept = SqliteGraph.open(path)
    kept.apply(follows(0, 3))
    dropped = SqliteGraph.open(path)
    dropped.apply(follows(3, 3))
    with FileLock(f"{path}.lock"):
        del dropped
        gc.collect()
        assert log_bytes(path) > 0
    kept.close()
    assert log_bytes(path) == 0
    last = SqliteGraph.open(path)
    last.apply(follows(6, 3))
    del last
    gc.collect()
    assert log_bytes(path) == 0


def test_readers_need_no_lock(path: Path) -> None:
    store = SqliteGraph.open(path)
    store.apply(follows(0, 3))
    with FileLock(f"{path}.lock"):
        reader = SqliteGraph.open(path, read_only=True)
        assert reader.counts().follows == 3
        reader.close()
    store.close()


def test_the_log_is_emptied_when_it_is_large(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CHECKPOINT_BYTES", 2**20)
    store = SqliteGraph.open(path)
    for start in range(0, 30_000, 1000):
        store.apply(follows(start, 1000))
        assert log_bytes(path) < 2**20
    assert path.stat().st_size > 2**20
    store.close()


def test_a_reader_holds_the_log_back_but_not_the_writer(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "CHECKPOINT_BYTES", 2**19)
    monkeypatch.setattr(connection, "CHECKPOINT_RETRY_BYTES", 2**19)
    store = SqliteGraph.open(path)
    store.apply(follows(0, 1000))
    reader = SqliteGraph.open(path, read_only=True)
    with reader._database.reading() as raw:
        raw.execute("SELECT * FROM meta").fetchall()
        for start in range(1000, 30_000, 1000):
            store.apply(follows(start, 1000))
        assert log_bytes(path) > 2**20
    for start in range(30_000, 40_000, 1000):
        store.apply(follows(start, 1000))
    assert log_bytes(path) < 2**20
    assert reader.counts().follows == 40_000
    reader.close()
    store.close()


def test_recent_follows_move_to_the_main_level(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphdb.sqlite.store.MAX_RECENT_FOLLOWS", 2000)
    monkeypatch.setattr("graphdb.sqlite.store.FOLLOWS_A_MERGE", 500)
    monkeypatch.setattr("graphdb.sqlite.follows.FOLLOWS_A_MERGE", 500)
    store = SqliteGraph.open(path)
    for start in range(0, 5000, 1000):
        store.apply(follows(start, 1000))
    with store._database.reading() as raw:
        sizes = [
            raw.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("follows", "recent_follows", "followers", "recent_followers")
        ]
    assert sizes == [4000, 1000, 4000, 1000]
    assert store.counts().follows == 5000
    assert store.neighbours("b3", "followers") == sorted(f"a{n}" for n in range(3, 5000, 97))
    store.close()


def test_a_writer_sees_users_that_another_brought(path: Path) -> None:
    first, second = SqliteGraph.open(path), SqliteGraph.open(path)
    first.apply(follows(0, 100))
    second.apply(follows(50, 100))
    first.apply(follows(100, 100))
    first.erase("a0")
    second.apply(follows(0, 2))
    assert first.counts().follows == 199
    assert second.digest() == first.digest()
    first.close()
    second.close()


def test_a_store_does_not_survive_a_fork(path: Path) -> None:
    script = """
import os, sys
from pathlib import Path
from graphdb.errors import GraphUnavailable
from graphdb.sqlite.store import SqliteGraph
store = SqliteGraph.open(Path(sys.argv[1]))
child = os.fork()
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
try:
    store.head()
except GraphUnavailable as error:
    os._exit(0 if "before a fork" in str(error) else 1)
os._exit(2)
"""
    subprocess.run([sys.executable, "-c", script, str(path)], check=True)


def test_the_url_comes_from_the_environment(tmp_path: Path) -> None:
    assert GraphSettings.from_environ({}).graph_url == "sqlite:///.mmga/graph.db"
    given = GraphSettings.from_environ({"MMGA_HOME": "/data", "MMGA_PROJECT": "p"})
    assert (given.graph_url, given.project) == ("sqlite:////data/graph.db", "p")
    (tmp_path / "url").write_text("sqlite:///elsewhere.db\n")
    secret = GraphSettings.from_environ({"MMGA_GRAPH_URL_FILE": str(tmp_path / "url")})
    assert secret.graph_url == "sqlite:///elsewhere.db"
    with pytest.raises(SettingInvalid, match="MMGA_GRAPH_URL_FILE"):
        GraphSettings.from_environ({"MMGA_GRAPH_URL_FILE": str(tmp_path / "absent")})


def test_an_unknown_url_is_named_without_its_secret() -> None:
    with pytest.raises(GraphUnavailable, match="set MMGA_GRAPH_URL") as caught:
        open_graph("mysql://user:secret@host:7687/db")
    assert "secret" not in str(caught.value)


def test_a_graph_that_was_deleted_renamed_or_made_again_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "home" / "graph.db"
    open_graph(f"sqlite:///{path}").close()
    reader = open_graph(f"sqlite:///{path}", read_only=True)
    assert not reader.is_replaced()
    path.parent.rename(tmp_path / "away")
    assert reader.is_replaced()
    writer = open_graph(f"sqlite:///{path}")
    assert reader.is_replaced()
    assert not writer.is_replaced()
    writer.close()
    reader.close()
