"""Mapped tensors are those that were saved; a damaged file is one line."""

import json
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from safetensors.numpy import save_file

from foundation.errors import TensorsUnreadable
from foundation.safetensors_file import mapped_tensors, read_header

TENSORS = {
    "rows": np.arange(12, dtype=np.float32).reshape(4, 3),
    "flags": np.array([True, False, True]),
    "none": np.empty((0, 3), np.float32),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save_file(TENSORS, tmp_path / "tensors", metadata={"made": "here"})
    return tmp_path / "tensors"


@pytest.mark.parametrize("mode", ["r", "c"])
def test_tensors_are_those_that_were_saved(path: Path, mode: Literal["r", "c"]) -> None:
    found = mapped_tensors(path, mode=mode)
    assert found.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        np.testing.assert_array_equal(found[name], tensor)
        assert found[name].dtype == tensor.dtype


def test_no_reader_changes_the_file(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(ValueError, match="read-only"):
        mapped_tensors(path)["rows"][0] = 7
    mapped_tensors(path, mode="c")["rows"][0] = 7
    assert path.read_bytes() == before


def test_the_header_tells_where_the_data_begin(path: Path) -> None:
    entries, start = read_header(path)
    assert set(entries) == set(TENSORS)
    begin, end = entries["rows"]["data_offsets"]
    assert path.read_bytes()[start + begin : start + end] == TENSORS["rows"].tobytes()


def header(content: object) -> bytes:
    text = json.dumps(content).encode()
    return len(text).to_bytes(8, "little") + text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 5,
        b"\xff" * 20,
        b"\x04\0\0\0\0\0\0\0nope",
        header([1, 2]),
        header({"x": {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]}}),
        header({"x": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}}),
        header({"x": {"dtype": "F32"}}),
        header({"x": 1}),
    ],
)
def test_a_damaged_file_is_one_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "tensors"
    path.write_bytes(content)
    with pytest.raises(TensorsUnreadable, match="holds no readable tensors") as raised:
        mapped_tensors(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)
