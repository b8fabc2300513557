"""What kills left of a seed's files goes when another attempt begins."""

from pathlib import Path

from training.engine.seed_files import SeedFiles


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
