"""The guard of unchanged code sees what differs: it is worth as much as it can fail."""

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from benchmarks.unchanged import reading
from benchmarks.unchanged.comparing import NUM_SHOWN, Comparison, Names, compare
from benchmarks.unchanged.reading import Reader, Values
from benchmarks.unchanged.side import HERE


def read(home: Path, tensors: dict[str, NDArray[np.float32]], document: object) -> Values:
    home.mkdir()
    save_file(tensors, home / "model.safetensors")
    (home / "evaluation.json").write_text(json.dumps(document), encoding="utf-8")
    return Reader(home / "arrays", {home: "HOME"}).folder(home)


def compared(
    tmp_path: Path,
    old: tuple[dict[str, NDArray[np.float32]], object],
    new: tuple[dict[str, NDArray[np.float32]], object],
    names: Names | None = None,
) -> Comparison:
    there, here = tmp_path / "there", tmp_path / "here"
    arrays = (there / "arrays", here / "arrays")
    return compare("all", read(there, *old), read(here, *new), names=names, arrays=arrays)


def weights(last: float = 3.0) -> dict[str, NDArray[np.float32]]:
    return {"layer.weight": np.array([1.0, 2.0, last], np.float32)}


def test_the_same_is_one_line(tmp_path: Path) -> None:
    found = compared(tmp_path, (weights(), {"auc": 0.5}), (weights(), {"auc": 0.5}))
    assert not found.differences
    assert str(found) == "same: 2 values of all"


def test_a_changed_tensor_is_named_with_its_distance(tmp_path: Path) -> None:
    found = compared(tmp_path, (weights(), {}), (weights(3.5), {}))
    [(name, how)] = found.differences.items()
    assert name == "model.safetensors:layer.weight"
    assert how.startswith("float32 3 ")
    assert how.endswith("(by at most 0.5)")


def test_a_tensor_that_differs_in_the_sign_of_a_zero_differs(tmp_path: Path) -> None:
    assert compared(tmp_path, (weights(0.0), {}), (weights(-0.0), {})).differences


def test_a_tensor_of_another_type_or_shape_differs(tmp_path: Path) -> None:
    row = {"layer.weight": weights()["layer.weight"][None]}
    assert compared(tmp_path, (weights(), {}), (row, {})).differences


def test_a_figure_that_differs_in_its_last_bit_differs(tmp_path: Path) -> None:
    figure = 0.6527884857646763
    old, new = ({"task": [{"auc": value}]} for value in (figure, np.nextafter(figure, 1)))
    found = compared(tmp_path, (weights(), old), (weights(), new)).differences
    assert found == {
        "evaluation.json:task.0.auc": "0.6527884857646763 -> 0.6527884857646764 "
        "(by at most 1.11e-16)"
    }


def test_a_name_that_is_missing_is_told_from_either_side(tmp_path: Path) -> None:
    found = compared(tmp_path, (weights(), {"auc": 1, "ap": 2}), (weights(), {"auc": 1, "mrr": 2}))
    assert found.differences == {
        "evaluation.json:ap": "only there",
        "evaluation.json:mrr": "only here",
    }


def test_a_renamed_parameter_is_the_same_by_its_table(tmp_path: Path) -> None:
    renamed = {"encoder.weight": weights()["layer.weight"]}
    names = Names(parameters=((r"^layer\.", "encoder."),))
    assert not compared(tmp_path, (weights(), {}), (renamed, {}), names).differences


def test_without_its_table_a_renamed_parameter_differs(tmp_path: Path) -> None:
    renamed = {"encoder.weight": weights()["layer.weight"]}
    assert len(compared(tmp_path, (weights(), {}), (renamed, {})).differences) == 2


def test_files_and_keys_have_tables_of_their_own() -> None:
    names = Names(files=((r"^generations/", "models/"),), keys=((r"\bauc$", "area"),))
    old, new = {"generations/g/evaluation.json:auc": "1"}, {"models/g/evaluation.json:area": "1"}
    assert not compare("all", old, new, names=names).differences
    assert names.new("model.safetensors:auc") == "model.safetensors:auc"


def test_a_table_that_makes_one_name_of_two_is_refused() -> None:
    with pytest.raises(ValueError, match="same name"):
        compare("all", {"a:x": "1", "a:y": "2"}, {}, names=Names(keys=((r"[xy]", "z"),)))


def test_no_more_than_ten_are_shown_and_all_counted_by_file() -> None:
    old = {f"{'ab'[number % 2]}.json:{number}": "1" for number in range(NUM_SHOWN + 3)}
    lines = str(compare("all", old, {})).splitlines()
    assert len(lines) == 1 + NUM_SHOWN + 1
    assert lines[1] == "  a.json:0: only there"
    assert lines[-1] == "  all of them, by file: a.json 7, b.json 6"


def test_times_are_masked_and_places_taken_out(tmp_path: Path) -> None:
    texts = []
    for number, name in enumerate(("one", "two")):
        home = tmp_path / name
        home.mkdir()
        line = {"step": 0, "total": 1.5, "seconds": number, "path": str(home / "snapshots")}
        (home / "losses.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
        (home / "place").write_text(str(home), encoding="utf-8")
        texts.append(Reader(tmp_path / "arrays", {home: "HOME"}).folder(home))
    assert not compare("all", *texts).differences
    assert texts[0]["losses.jsonl:000000.total"] == "1.5"
    assert texts[0]["losses.jsonl:000000.seconds"] == "0"
    del texts[1]["losses.jsonl:000000.seconds"]
    assert len(compare("all", *texts).differences) == 1


def test_one_byte_of_a_table_is_seen(tmp_path: Path) -> None:
    texts = []
    for name, value in (("one", b"\x00\x01"), ("two", b"\x00\x02")):
        (tmp_path / name).mkdir()
        with closing(sqlite3.connect(tmp_path / name / "online.db")) as connection, connection:
            connection.execute("CREATE TABLE rows (key TEXT, value BLOB)")
            connection.executemany("INSERT INTO rows VALUES (?, ?)", [("a", value), ("b", b"")])
        texts.append(Reader(tmp_path / "arrays", {}).folder(tmp_path / name))
    found = compare("all", *texts).differences
    assert [*found] == ["online.db:rows.value"]


def test_arrays_have_the_digest_of_their_bits() -> None:
    ones = np.ones((2, 3), np.float32)
    assert reading.array_text(ones) == reading.array_text(np.asfortranarray(ones))
    assert reading.array_text(ones) != reading.array_text(ones.reshape(3, 2))
    assert reading.array_text(ones) != reading.array_text(ones.view(np.int32))


PRINTING = """
import secrets, time, os, uuid
from datetime import UTC, datetime
def told():
    return [secrets.token_hex(2), secrets.token_hex(2), uuid.uuid4().hex, os.urandom(3).hex(),
            time.time_ns(), time.time(), datetime.now(UTC).isoformat()]
"""


def told(root: Path, start: int) -> list[object]:
    """What a module below `root` is told of clocks and ids, in a process of its own."""
    (root / "ours.py").write_text(PRINTING, encoding="utf-8")
    environ = {
        "PYTHONPATH": f"{HERE / 'pins'}:{root}",
        "UNCHANGED_ROOT": str(root),
        "UNCHANGED_START": str(start),
        "UNCHANGED_PARENT": str(os.getpid()),
    }
    command = [sys.executable, "-c", "import json, ours; print(json.dumps(ours.told()))"]
    answer = subprocess.run(command, env=environ, check=True, stdout=subprocess.PIPE)
    found: list[object] = json.loads(answer.stdout)
    return found


def test_ids_and_clocks_are_the_same_at_the_same_start(tmp_path: Path) -> None:
    first, again, later = (told(tmp_path, start) for start in (0, 0, 1))
    assert first == again
    assert first[0] != first[1]
    assert not {*first[:4]} & {*later[:4]}  # a resumed command fences out the killed one
    assert first[4:] == later[4:]


def test_a_package_of_ours_comes_from_the_checkout_or_not_at_all(tmp_path: Path) -> None:
    elsewhere, checkout = tmp_path / "elsewhere", tmp_path / "checkout"
    for folder in (elsewhere, checkout):
        folder.mkdir()
        (folder / "ours.py").touch()
    environ = {
        "PYTHONPATH": f"{HERE / 'pins'}:{elsewhere}:{checkout}",
        "UNCHANGED_ROOT": str(checkout),
    }
    command = [sys.executable, "-c", "import ours"]
    refused = subprocess.run(command, env=environ, check=False, capture_output=True, text=True)
    assert refused.returncode
    assert f"ours would come from {elsewhere / 'ours.py'}" in refused.stderr
