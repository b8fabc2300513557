"""The real command, run in this process or in one of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import mmga
from featurestore.feast_adapter.registry import FeatureRegistry
from featurestore.settings import FeatureStoreSettings
from graphdb.statistics import STATISTICS

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a command left behind."""

    status: int
    out: str
    err: str

    @property
    def last_line(self) -> str:
        return self.out.splitlines()[-1]


Run = Callable[..., Outcome]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own for each test."""
    for name in [name for name in os.environ if name.startswith("MMGA_")]:
        if name != "MMGA_DATA_DIR":
            monkeypatch.delenv(name)
    monkeypatch.setenv("MMGA_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def defined(home: Path) -> None:
    """The statistics as the registry has them after a first run, without its import of Feast.

    That takes a process seconds, and this one once for all tests.
    """
    FeatureRegistry(FeatureStoreSettings.at(home)).apply_statistics(STATISTICS)


@pytest.fixture
def run(home: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs `mmga ARGUMENTS…` in this process."""

    def run_command(*arguments: str | Path) -> Outcome:
        capfd.readouterr()
        try:
            mmga.main([str(argument) for argument in arguments])
            status = 0
        except SystemExit as stop:
            status = int(stop.code or 0)
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return Outcome(status=status, out=out, err=err)

    return run_command


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    """Starts `mmga ARGUMENTS…` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "mmga", *map(str, arguments)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
