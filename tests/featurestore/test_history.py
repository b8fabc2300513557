"""The history: append-only, whole files, as-of reads against a plain loop."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.errors import FeatureInvalid, HistoryMissing
from featurestore.history import History
from featurestore.history_rows import Slice
from featurestore.online.values import Column
from featurestore.settings import FeatureStoreSettings

VIEW = "user_activity"


def append(history: History, version: int, users: list[str], value: float, **times: Any) -> bool:
    return history.append(
        VIEW,
        Slice(graph_id="g", since=version - 1, version=version),
        users,
        {"x": np.full(len(users), value, np.float32)},
        event_times=np.asarray(times.get("events", np.full(len(users), version))),
        commit_time=times.get("commit_time", version),
    )


@dataclass(frozen=True, kw_only=True)
class Past:
    """Appended rows (user, event time, commit time, value), and questions (user, time)."""

    appends: list[tuple[int, list[tuple[str, int]]]] = field(default_factory=list)
    questions: list[tuple[str, int]] = field(default_factory=list)


users = st.sampled_from(["a", "b", "c"])
pasts = st.builds(
    Past,
    appends=st.lists(
        st.tuples(
            st.integers(0, 6),
            st.lists(st.tuples(users, st.integers(0, 5)), min_size=1, unique_by=lambda row: row[0]),
        ),
        min_size=1,
        max_size=5,
        unique_by=lambda piece: piece[0],
    ),
    questions=st.lists(st.tuples(users, st.integers(-1, 6)), min_size=1, max_size=8),
)


@given(past=pasts, known_by=st.none() | st.integers(0, 6))
def test_as_of_equals_a_plain_loop(
    past: Past, known_by: int | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    history = History(FeatureStoreSettings.at(tmp_path_factory.mktemp("history")))
    rows = []
    for commit_time, piece in past.appends:
        value = float(commit_time)
        who, events = [user for user, _ in piece], [event for _, event in piece]
        append(history, commit_time, who, value, events=events)
        rows += [(user, event, commit_time) for user, event in piece]
    asked = [user for user, _ in past.questions]
    times = np.array([time for _, time in past.questions])
    found = history.as_of(VIEW, asked, times, ["x"], known_by=known_by)
    for number, (user, time) in enumerate(past.questions):
        fitting = [
            (event, commit)
            for who, event, commit in rows
            if who == user and event <= time and (known_by is None or commit <= known_by)
        ]
        assert found.present[number] == bool(fitting)
        if fitting:
            event, commit = max(fitting)
            assert found.features["x"][number] == commit
            assert (found.event_times[number], found.commit_times[number]) == (event, commit)
        else:
            assert np.isnan(found.features["x"][number])


def test_a_slice_is_kept_once_and_never_changed(settings: FeatureStoreSettings) -> None:
    history = History(settings)
    assert append(history, 1, ["a"], 1.0)
    [path] = history.folder(VIEW).iterdir()
    before = path.read_bytes()
    assert not append(history, 1, ["a"], 2.0)
    assert append(history, 2, ["a"], 3.0)
    assert path.read_bytes() == before
    assert not append(history, 3, [], 0.0)
    assert len(list(history.folder(VIEW).iterdir())) == 2


def test_vectors_come_back_as_a_matrix(settings: FeatureStoreSettings) -> None:
    history, matrix = History(settings), np.arange(6, dtype=np.float32).reshape(2, 3)
    piece = Slice(graph_id="g", since=-1, version=1)
    columns: dict[str, Column] = {
        "graph": matrix,
        "flag": np.array([True, False]),
        "name": ["x", "y"],
    }
    events = np.ones(2, np.int64)
    history.append(VIEW, piece, ["a", "b"], columns, event_times=events, commit_time=1)
    found = history.as_of(VIEW, ["b", "nobody", "a"], np.full(3, 5), list(columns))
    np.testing.assert_array_equal(found.features["graph"][[0, 2]], matrix[::-1])
    assert np.isnan(found.features["graph"][1]).all()
    assert found.features["flag"].tolist() == [False, False, True]
    assert found.features["name"].tolist() == ["y", "", "x"]


def test_a_crash_before_the_rename_leaves_nothing_to_read(
    settings: FeatureStoreSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = History(settings)
    append(history, 1, ["a"], 1.0)

    def crash(descriptor: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", crash)
        with pytest.raises(KeyboardInterrupt):
            append(history, 2, ["a"], 2.0)
    assert len(list(history.folder(VIEW).iterdir())) == 1
    assert append(history, 2, ["a"], 2.0)


def test_what_is_not_there_is_said_in_one_line(settings: FeatureStoreSettings) -> None:
    history = History(settings)
    with pytest.raises(HistoryMissing, match="view user_activity has no history"):
        history.as_of(VIEW, ["a"], np.ones(1, np.int64), ["x"])
    append(history, 1, ["a"], 1.0)
    with pytest.raises(FeatureInvalid, match="no feature y"):
        history.as_of(VIEW, ["a"], np.ones(1, np.int64), ["y"])
    with pytest.raises(FeatureInvalid, match="differ in length"):
        append(history, 2, ["a"], 1.0, events=[1, 2])
    with pytest.raises(FeatureInvalid, match="cannot name a file"):
        _ = Slice(graph_id="../x", since=0, version=1).file_name
    assert history.folder(VIEW) == Path(settings.home) / "history" / VIEW
