"""The engine runs a method that it does not know, on real Ray workers, and brings it back."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from foundation.stop import StopRequest
from tests.training.engine.linear_regression import NUM_STEPS, work
from training.engine.checkpoints import Checkpoint, newest_checkpoint
from training.engine.ray_cluster import MAX_FAILURES, fit, ray_session
from training.engine.seed_files import SeedFiles
from training.engine.step_log import read_losses
from training.errors import RunFailed

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def session() -> Iterator[None]:
    with ray_session(2):
        yield


def seed_files(folder: Path, **files: str) -> SeedFiles:
    folder.mkdir()
    for name, text in files.items():
        (folder / name.replace("_", "-")).write_text(text)
    return SeedFiles(folder)


def fitted(files: SeedFiles, num_workers: int) -> Checkpoint:
    fit(
        work,
        {"seed": 7},
        files,
        name="the regression",
        num_workers=num_workers,
        num_threads=2,
        say=print,
        stop=StopRequest(),
    )
    checkpoint = newest_checkpoint(files.checkpoints)
    assert checkpoint is not None
    return checkpoint


def steps(files: SeedFiles) -> list[dict[str, Any]]:
    times = ("seconds", "waited_seconds")
    return [
        {name: value for name, value in line.items() if name not in times}
        for line in read_losses(files.losses)
    ]


@pytest.mark.parametrize("num_workers", [1, 2])
def test_a_method_that_is_killed_ends_in_the_same_bytes(tmp_path: Path, num_workers: int) -> None:
    alone, killed = (
        seed_files(tmp_path / "alone"),
        seed_files(tmp_path / "killed", kill_at_2="", kill_at_9=""),
    )
    expected, found = fitted(alone, num_workers), fitted(killed, num_workers)
    assert not list(killed.folder.glob("kill-at-*"))
    assert found.next_step == NUM_STEPS
    assert found.state.read_bytes() == expected.state.read_bytes()
    assert found.metadata == expected.metadata
    assert steps(killed) == steps(alone)
    assert [line["step"] for line in steps(killed)] == list(range(NUM_STEPS))
    before, after = (found.metadata["held_out"][name]["total"] for name in ("before", "after"))
    assert after < before / 2


def test_an_error_that_comes_again_is_not_tried_again(tmp_path: Path) -> None:
    files = seed_files(tmp_path / "seed", fail_at_opening="NotFinite")
    for num_attempts in (1, 2):
        with pytest.raises(RunFailed, match=r"the regression failed: .*wanted NotFinite.*--new"):
            fitted(files, 1)
        assert (files.folder / "opened").read_text() == "x" * num_attempts


def test_an_error_that_may_pass_is_tried_again_and_what_was_open_is_closed(tmp_path: Path) -> None:
    files = seed_files(tmp_path / "seed", checkpoints="a file where the folder should be")
    with pytest.raises(RunFailed, match=r"the regression failed: .*Error: .*; the run resumes"):
        fitted(files, 1)
    assert (files.folder / "opened").read_text() == "x" * (1 + MAX_FAILURES)
    assert (files.folder / "closed").read_text() == "x" * (1 + MAX_FAILURES)
