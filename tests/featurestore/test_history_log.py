"""The log of a history: whatever is killed, each row that was appended is read exactly once."""

import errno
import os
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset as ds
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore import history_files, history_log
from featurestore.errors import HistoryMissing, HistoryUnwritable
from featurestore.history import History
from featurestore.history_files import HistoryFiles
from featurestore.history_log import HistoryLog
from featurestore.history_rows import Slice
from featurestore.settings import FeatureStoreSettings

VIEW = "user_activity"


def append(log: HistoryLog, version: int, users: list[str], *, since: int | None = None) -> bool:
    return log.append(
        Slice(graph_id="g", since=version - 1 if since is None else since, version=version),
        users,
        {"x": np.full(len(users), version, np.float32)},
        event_times=np.full(len(users), version),
        commit_time=version,
    )


def kept(history: History) -> list[tuple[str, float]]:
    """All rows, as readers see them."""
    try:
        rows = history.rows(VIEW)
    except HistoryMissing:
        return []
    return sorted(zip(rows["user_id"].to_pylist(), rows["x"].to_pylist(), strict=True))


def files(history: History) -> tuple[int, int]:
    """How many logs and parquet files there are."""
    return (
        len(list((history.root / ".logs" / VIEW).glob("*"))),
        len(list(history.folder(VIEW).glob("*"))),
    )


@pytest.fixture
def history(settings: FeatureStoreSettings) -> History:
    return History(settings)


def test_rows_are_read_from_the_log_and_then_from_parquet(history: History) -> None:
    log = history.log(VIEW)
    assert append(log, 1, ["a", "b"])
    assert append(log, 2, ["a"])
    assert files(history) == (1, 0)
    now, asked = np.array([9, 9, 1]), ["a", "b", "a"]
    before = history.as_of(VIEW, asked, now, ["x"])
    assert before.features["x"].tolist() == [2, 1, 1]
    assert before.commit_times.tolist() == [2, 1, 1]
    assert history.as_of(VIEW, asked, now, ["x"], known_by=1).features["x"].tolist() == [1, 1, 1]
    log.settle()
    log.close()
    assert files(history) == (0, 1)
    after = history.as_of(VIEW, asked, now, ["x"])
    assert after.features["x"].tolist() == [2, 1, 1]
    assert ds.dataset(history.folder(VIEW), format="parquet").count_rows() == 3


def test_as_of_reads_both_together(history: History) -> None:
    log = history.log(VIEW)
    append(log, 1, ["a", "b"])
    log.settle()
    log.close()
    append(history.log(VIEW), 2, ["b", "c"])
    assert files(history) == (1, 1)
    found = history.as_of(VIEW, ["a", "b", "c", "d"], np.full(4, 9), ["x"])
    assert found.present.tolist() == [True, True, True, False]
    assert found.features["x"][:3].tolist() == [1, 2, 2]


def test_what_is_not_settled_stays_in_the_log(history: History) -> None:
    log = history.log(VIEW)
    append(log, 1, ["a"])
    log.settle()
    append(log, 2, ["a"])
    log.close()
    assert files(history) == (1, 0)


def test_a_slice_is_kept_once(history: History) -> None:
    log = history.log(VIEW)
    assert append(log, 1, ["a"], since=-1)
    assert not append(log, 1, ["a"], since=-1)
    assert not append(log, 2, [])
    assert not append(history.log(VIEW), 1, ["a"], since=-1)
    log.settle()
    log.close()
    again = history.log(VIEW)
    assert not append(again, 1, ["a"], since=-1), "a rebuild that was compacted"
    assert append(again, 2, ["a"], since=-1)
    assert kept(history) == [("a", 1.0), ("a", 2.0)]


def test_what_was_appended_beyond_a_version(history: History) -> None:
    log = history.log(VIEW)
    for version in (1, 2, 3):
        append(log, version, ["a"])
    assert [logged.piece.version for logged in log.beyond("g", 1, 2)] == [2]
    assert [logged.piece.version for logged in history.log(VIEW).beyond("g", 1, 9)] == [2, 3]
    assert list(log.beyond("another", 0, 9)) == []


def test_a_frame_that_is_cut_short_is_not_there(history: History) -> None:
    """Wherever it is cut; the next writer goes on behind the whole ones."""
    log = history.log(VIEW)
    append(log, 1, ["a"])
    [path] = (history.root / ".logs" / VIEW).iterdir()
    first = path.stat().st_size
    append(log, 2, ["a"])
    content = path.read_bytes()
    for length in [*range(first, first + 12), *range(first + 12, len(content), 97)]:
        path.write_bytes(content[:length])
        assert kept(history) == [("a", 1.0)]
        assert append(history.log(VIEW), 3, ["a"])
        assert kept(history) == [("a", 1.0), ("a", 3.0)]
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert kept(history) == [("a", 1.0)]


def test_a_full_disk_is_told_and_leaves_whole_frames(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = history.log(VIEW)
    append(log, 1, ["a"])

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(HistoryUnwritable, match="No space left on device; make room"):
            append(log, 2, ["a"])
        log.settle()
        log.close()
    assert append(log, 2, ["a"])
    assert kept(history) == [("a", 1.0), ("a", 2.0)]


def test_small_files_do_not_pile_up(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_log, "COMPACT_BYTES", 0)
    monkeypatch.setattr(history_files, "MAX_ROWS", 64)
    log = history.log(VIEW)
    sizes = []
    for version in range(1, 121):
        append(log, version, ["a"])
        log.settle()
        sizes.append(files(history)[1])
    assert len(kept(history)) == 120
    assert max(sizes) <= 120 // 64 + 7
    for path in history.folder(VIEW).iterdir():
        assert ds.dataset(path, format="parquet").count_rows() <= 64 * 4


def test_a_log_is_compacted_when_it_is_large_or_old(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = history.log(VIEW)
    append(log, 1, ["a"])
    log.settle()
    assert files(history) == (1, 0)
    monkeypatch.setattr(history_log, "COMPACT_SECONDS", 0.0)
    log.settle()
    assert files(history) == (0, 1)


def test_a_reader_that_is_overtaken_by_a_compaction_begins_again(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = history.log(VIEW)
    append(log, 1, ["a"])
    log.settle()
    readable = HistoryFiles.readable

    def overtaken(self: HistoryFiles) -> tuple[list[Path], list[Path]]:
        found = readable(self)
        monkeypatch.setattr(HistoryFiles, "readable", readable)
        log.close()
        return found

    monkeypatch.setattr(HistoryFiles, "readable", overtaken)
    assert kept(history) == [("a", 1.0)]
    assert files(history) == (0, 1)


class Killed(BaseException):
    """The process is no more."""


def kill_at(point: int, patch: pytest.MonkeyPatch) -> None:
    """Let the step with this number be the last: before and after each thing that reaches disk."""
    numbers = count()

    def around(function: Callable[..., Any]) -> Callable[..., Any]:
        def stepped(*arguments: Any, **options: Any) -> Any:
            if next(numbers) == point:
                raise Killed
            result = function(*arguments, **options)
            if next(numbers) == point:
                raise Killed
            return result

        return stepped

    for name in ("fsync", "replace", "unlink"):
        patch.setattr(os, name, around(getattr(os, name)))


Act = tuple[str, int]
acts: st.SearchStrategy[list[Act]] = st.lists(
    st.tuples(
        st.sampled_from(["append", "append", "settle", "close", "reopen", "kill"]),
        st.integers(0, 12),
    ),
    max_size=14,
)


@given(acts=acts)
def test_whatever_is_killed_no_row_is_lost_and_none_is_doubled(
    acts: list[Act], tmp_path_factory: pytest.TempPathFactory
) -> None:
    history = History(FeatureStoreSettings.at(tmp_path_factory.mktemp("home")))
    versions, expected, point = count(1), [], -1
    with pytest.MonkeyPatch.context() as limits:
        limits.setattr(history_log, "COMPACT_BYTES", 0)
        limits.setattr(history_files, "MAX_ROWS", 4)
        log = history.log(VIEW)
        for act, number in [*acts, ("settle", 0), ("close", 0)]:
            if act == "kill":
                point = number
                continue
            version = next(versions)
            with pytest.MonkeyPatch.context() as patch:
                kill_at(point, patch)
                try:
                    if act == "append":
                        append(log, version, ["a"])
                    elif act == "settle":
                        log.settle()
                    elif act == "close":
                        log.close()
                    else:
                        log = history.log(VIEW)
                except Killed:
                    log = None  # type: ignore[assignment]
            if log is None:
                assert kept(history) in (expected, [*expected, ("a", float(version))])
                log = history.log(VIEW)
                if act == "append":
                    append(log, version, ["a"])
            point = -1
            if act == "append":
                expected.append(("a", float(version)))
            assert kept(history) == expected
    assert kept(history) == expected
