"""A file is there whole or not at all, and what a failure or a kill left of it goes."""

from pathlib import Path

import pytest

from training.engine.files import write_text, write_whole
from training.engine.seed_files import SeedFiles


def test_a_write_that_fails_leaves_the_old_content_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_text(path, "old")

    def fail(partial: Path) -> None:
        partial.write_text("half")
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        write_whole(path, fail)
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
    assert path.read_text() == "old"


def test_two_writers_of_a_file_never_share_what_is_not_whole_yet(tmp_path: Path) -> None:
    path = tmp_path / "file"

    def write(partial: Path) -> None:
        partial.write_text("outer")
        write_text(path, "inner")

    write_whole(path, write)
    assert path.read_text() == "outer"


def test_an_attempt_removes_what_kills_left_half_written(tmp_path: Path) -> None:
    files = SeedFiles(tmp_path / "seed-0")
    files.checkpoints.mkdir(parents=True)
    kept = files.checkpoints / "00000005.safetensors"
    for path in (kept, files.checkpoints / "00000010.safetensors.77.partial"):
        path.write_bytes(b"tensors")
    attempt = files.take_over()
    assert files.attempt == attempt
    assert {path for path in files.folder.rglob("*") if path.is_file()} == {
        kept,
        files.folder / "attempt",
    }
