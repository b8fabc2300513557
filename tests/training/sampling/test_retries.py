"""A database that is restarted costs training its time and nothing else."""

import logging
from typing import Any

import numpy as np
import pytest

from graphdb.errors import GraphUnreachable
from graphdb.store import GraphStore
from tests.training.sampling.test_sources import Pinned, change, pinned
from training.sampling import retries
from training.sampling.database_source import DatabaseSource
from training.sampling.retries import PATIENCE_SECONDS, retry

__all__ = ["pinned"]


class Clock:
    """Time that passes only where somebody sleeps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr("time.monotonic", self)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize("down", [3.0, 60.0, 570.0])
def test_an_outage_is_waited_for_and_told_in_one_line(
    down: float, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)

    def ask() -> str:
        if clock() < down:
            raise GraphUnreachable("no answer")
        return "answer"

    with caplog.at_level(logging.WARNING):
        assert retry(ask, sleep=clock.sleep) == "answer"
    assert down <= clock() <= down + 30
    assert [record.message for record in caplog.records] == [
        "waiting for the graph, up to 600 s: no answer"
    ]


def test_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)

    def ask() -> None:
        raise GraphUnreachable("no answer")

    with pytest.raises(GraphUnreachable, match="no answer"):
        retry(ask, sleep=clock.sleep)
    assert PATIENCE_SECONDS - 30 <= clock() <= PATIENCE_SECONDS


class Restarting:
    """A store that fails each question once before it answers; changes, in their midst."""

    def __init__(self, store: GraphStore) -> None:
        self.store, self.is_down = store, False

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.store, name)
        return self.failing(found) if callable(found) else found

    def failing(self, method: Any) -> Any:
        def ask(*arguments: Any, **options: Any) -> Any:
            self.is_down = not self.is_down
            if self.is_down:
                raise GraphUnreachable("restarting")
            return method(*arguments, **options)

        return ask

    def changes(self, since: int) -> Any:
        self.is_down = not self.is_down
        for found in self.store.changes(since):
            yield found
            if self.is_down:
                raise GraphUnreachable("restarting")


@pytest.mark.parametrize("pinned", ["sqlite"], indirect=True)
def test_what_is_drawn_over_restarts_is_what_is_drawn_without(
    pinned: Pinned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "FIRST_PAUSE_SECONDS", 0.0)
    restarting: Any = Restarting(pinned.store)
    sources = [
        DatabaseSource(pinned.snapshot, "mutual", store) for store in (pinned.store, restarting)
    ]
    change(pinned.store)
    drawn = []
    for source in sources:
        rng = np.random.default_rng(3)
        edges, connected = source.edges(30, rng), source.connected(10, rng)
        allowed = source.allowed(np.arange(20), np.arange(20, 40))
        drawn.append([*edges, *connected, *source.neighbours(0, np.arange(9), 3, rng), allowed])
    for one, other in zip(*drawn, strict=True):
        assert np.array_equal(one, other)
