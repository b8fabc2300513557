"""Waiting for servers: how long, and what a person is told."""

import pytest

from foundation import outage
from foundation.outage import Outage


def test_a_person_is_told_at_once_and_then_each_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    monkeypatch.setattr(outage, "FIRST_WAIT_SECONDS", 0.5)
    notes: list[str] = []
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock[0] += seconds

    away = Outage(notes.append, sleep)
    for _ in range(12):
        away.wait(ConnectionError("away"))
    away.end()
    away.end()
    assert slept == [0.5, 1, 2, 4, 8, 10, 10, 10, 10, 10, 10, 10]
    assert notes == ["waiting: away", "waiting for 66 s now: away", "going on after 86 s"]
    away.wait(ConnectionError("again"))
    assert slept[-1] == 0.5
