"""The newest sound checkpoint counts, whatever became of newer ones."""

from pathlib import Path

import pytest
import torch

from training.engine.checkpoints import drop_torn, newest_checkpoint, save_checkpoint
from training.engine.files import load_tensors
from training.engine.step_log import LossTail, append_losses, read_losses


def save(folder: Path, *steps: int) -> None:
    for step in steps:
        save_checkpoint(folder, step, {"step": torch.tensor([step])}, {"held_out": {"after": step}})


def test_the_newest_two_are_kept(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path) is None
    save(tmp_path, 5, 10, 15)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "00000010.json",
        "00000010.safetensors",
        "00000015.json",
        "00000015.safetensors",
    ]
    newest = newest_checkpoint(tmp_path)
    assert newest is not None
    assert newest.next_step == 15
    assert newest.metadata == {"held_out": {"after": 15}}
    assert load_tensors(newest.state)["step"].tolist() == [15]


@pytest.mark.parametrize("damaged", ["00000015.safetensors", "00000015.json"])
@pytest.mark.parametrize("damage", ["cut", "zeros", "gone"])
def test_a_torn_newest_falls_back_to_the_one_before(
    tmp_path: Path, damaged: str, damage: str
) -> None:
    save(tmp_path, 5, 10, 15)
    path = tmp_path / damaged
    content = path.read_bytes()
    if damage == "cut":
        path.write_bytes(content[:-3])
    elif damage == "zeros":
        path.write_bytes(content[:-8] + bytes(8))
    else:
        path.unlink()
    newest = newest_checkpoint(tmp_path)
    assert newest is not None
    assert newest.next_step == 10
    assert list(drop_torn(tmp_path)) == (
        [] if path.name.endswith("json") and damage == "gone" else [15]
    )
    save(tmp_path, 15)
    again = newest_checkpoint(tmp_path)
    assert again is not None
    assert again.next_step == 15


def test_a_disk_that_fails_for_a_moment_costs_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, 5, 10)

    def fail(path: Path) -> str:
        raise OSError(5, "Input/output error", str(path))

    with monkeypatch.context() as failing:
        failing.setattr("training.engine.checkpoints.digest", fail)
        with pytest.raises(OSError, match="Input/output"):
            list(drop_torn(tmp_path))
    newest = newest_checkpoint(tmp_path)
    assert newest is not None
    assert newest.next_step == 10


def test_checkpoints_of_later_steps_go_when_one_of_an_earlier_step_is_written(
    tmp_path: Path,
) -> None:
    save(tmp_path, 20, 25)
    save(tmp_path, 5)
    newest = newest_checkpoint(tmp_path)
    assert newest is not None
    assert newest.next_step == 5
    save(tmp_path, 10)
    assert sorted(path.stem for path in tmp_path.glob("*.json")) == ["00000005", "00000010"]


def test_what_a_kill_left_half_written_is_no_checkpoint(tmp_path: Path) -> None:
    save(tmp_path, 5)
    (tmp_path / "00000010.safetensors.77.partial").write_bytes(b"half")
    (tmp_path / "00000010.safetensors").write_bytes(b"whole, but its JSON was never written")
    newest = newest_checkpoint(tmp_path)
    assert newest is not None
    assert newest.next_step == 5
    assert not list(drop_torn(tmp_path))


@pytest.mark.parametrize("end", [b'{"step": 3, "tot', b'{"step": 3}', b"\0\0\0\0", b"\0\0\n"])
def test_a_log_line_that_was_cut_is_not_read_and_is_replaced(tmp_path: Path, end: bytes) -> None:
    path = tmp_path / "losses.jsonl"
    append_losses(path, [{"step": step} for step in range(3)])
    with path.open("ab") as file:
        file.write(end)
    assert [line["step"] for line in read_losses(path)] == [0, 1, 2]
    append_losses(path, [{"step": 3}, {"step": 4}])
    assert [line["step"] for line in read_losses(path)] == [0, 1, 2, 3, 4]


def test_a_tail_gives_each_line_once_and_a_log_written_anew_again(tmp_path: Path) -> None:
    path = tmp_path / "losses.jsonl"
    tail = LossTail(path)
    assert not list(tail.new())
    append_losses(path, [{"step": 0}, {"step": 1}])
    assert [line["step"] for line in tail.new()] == [0, 1]
    append_losses(path, [{"step": 2}])
    assert [line["step"] for line in tail.new()] == [2]
    append_losses(path, [{"step": 1}, {"step": 2}])
    assert [line["step"] for line in tail.new()] == [0, 1, 2]
