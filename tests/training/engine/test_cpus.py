"""The CPUs that a process may use are fewer than the machine's where a container says so."""

import os
from pathlib import Path

import pytest

from training.engine.cpus import usable_cpus


def groups(root: Path, limits: dict[str, str]) -> tuple[Path, Path]:
    """Control groups with these limits, and the file that says we are in the group a/b."""
    for name, limit in limits.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        (root / name / "cpu.max").write_text(limit + "\n")
    own = root / "cgroup"
    own.write_text("3:cpu:/legacy\n0::/a/b\n")
    return own, root


@pytest.fixture(autouse=True)
def eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


@pytest.mark.parametrize(
    ("limits", "usable"),
    [
        ({}, 8),
        ({"a/b": "max 100000"}, 8),
        ({"a/b": "250000 100000"}, 2),
        ({"a": "300000 100000", "a/b": "max 100000"}, 3),
        ({"a/b": "50000 100000"}, 1),
        ({"a/b": "3200000 100000"}, 8),
        ({"c": "100000 100000"}, 8),
    ],
)
def test_the_narrowest_limit_counts(tmp_path: Path, limits: dict[str, str], usable: int) -> None:
    assert usable_cpus(*groups(tmp_path, limits)) == usable


def test_without_control_groups_the_affinity_counts(tmp_path: Path) -> None:
    assert usable_cpus(tmp_path / "none", tmp_path) == 8
