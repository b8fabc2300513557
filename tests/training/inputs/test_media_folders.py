from pathlib import Path

from graphdb.facts import Position
from training.inputs.media_folders import moved_folders


def position(path, start="7:abc"):
    return Position(source=str(path), partition=0, offset=9, fingerprint=start)


def test_a_file_that_is_gone_has_moved_to_where_one_began_alike(tmp_path):
    new, other = tmp_path / "new", tmp_path / "other"
    for folder in (new, other):
        folder.mkdir()
        (folder / "events.jsonl").touch()
    old = tmp_path / "old"
    moved = moved_folders(
        [
            position(old / "events.jsonl"),
            position(new / "events.jsonl"),
            position(other / "events.jsonl", "7:def"),
        ]
    )
    assert moved == {str(old): (new,)}


def test_files_that_are_both_there_have_not_moved(tmp_path):
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).touch()
    assert moved_folders([position(tmp_path / name) for name in ("a.jsonl", "b.jsonl")]) == {}


def test_what_was_empty_or_is_no_file_tells_nothing(tmp_path):
    (tmp_path / "a.jsonl").touch()
    paths = (tmp_path / "a.jsonl", Path("/nowhere/b.jsonl"))
    assert moved_folders([position(path, "0:e3b0") for path in paths]) == {}
    assert moved_folders([position(path, None) for path in paths]) == {}
