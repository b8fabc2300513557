"""Lines of files that grow, are torn, or hold lines of any length."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.dead_letters.dead_letter import MAX_PAYLOAD_BYTES, Payload
from ingest.sources import lines as lines_module
from ingest.sources.lines import BOM, LineReader

MANY = 1 << 40


def read_all(path: Path, *, max_lines: int = 1000) -> tuple[list[bytes], list[int], int]:
    reader = LineReader(path, 0)
    lines: list[bytes] = []
    offsets: list[int] = []
    while True:
        start = reader.offset
        more, places, too_long = reader.read(max_lines, MANY)
        lines += more
        offsets += places
        assert not too_long
        if reader.offset == start:
            reader.close()
            return lines, offsets, reader.offset


@given(
    st.lists(
        st.builds(
            bytes.__add__,
            st.sampled_from([b"", b"", BOM, BOM[:2], b" " + BOM]),
            st.binary(max_size=12).map(lambda text: text.replace(b"\n", b"")),
        ),
        max_size=12,
    ),
    st.integers(1, 5),
    st.integers(1, 9),
)
def test_lines_and_offsets_whatever_the_blocks(
    tmp_path_factory: pytest.TempPathFactory, texts: list[bytes], max_lines: int, block: int
) -> None:
    path = tmp_path_factory.mktemp("lines") / "f"
    content = b"".join(text + b"\n" for text in texts)
    path.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines_module, "BLOCK_BYTES", block)
        lines, offsets, end = read_all(path, max_lines=max_lines)
    bare = [text.removeprefix(BOM) for text in texts]
    assert lines == [text for text in bare if text.strip()]
    assert [content[start:].split(b"\n")[0].removeprefix(BOM) for start in offsets] == lines
    assert end == len(content)


@pytest.mark.parametrize("tail", [b'{"a": 1}', b' {"a": 1} ', b'{"a": 1}\r'])
def test_a_last_line_without_line_break_is_taken_when_it_is_whole(
    tmp_path: Path, tail: bytes
) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x\n" + tail)
    assert read_all(path) == ([b"x", tail], [0, 2], 2 + len(tail))


@pytest.mark.parametrize("tail", [b'{"a": 1', b"1", b'"a"', b"[1]", b'{"a": "\xff"}', b"{}{"])
def test_else_it_is_left(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x\n" + tail)
    assert read_all(path) == ([b"x"], [0], 2)


def test_a_torn_line_is_read_when_it_has_grown(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b'x\n{"a"')
    reader = LineReader(path, 0)
    assert reader.read(10, MANY)[0] == [b"x"]
    assert reader.num_unread_bytes == 4
    with path.open("ab") as file:
        file.write(b": 1}\ny\n")
    assert reader.read(10, MANY)[:2] == ([b'{"a": 1}', b"y"], [2, 11])
    assert reader.num_unread_bytes == 0
    reader.close()


@pytest.mark.parametrize("length", [(1 << 20) + 1, (3 << 20) + 7, 10_000_000])
@pytest.mark.parametrize("ending", [b"\n", b"\ny\n", b""])
def test_a_line_that_is_too_long_is_cut_and_hashed(
    tmp_path: Path, length: int, ending: bytes
) -> None:
    long = b"{" + b"a" * (length - 2) + b"}"
    path = tmp_path / "f"
    path.write_bytes(b"x\n" + long + ending)
    reader = LineReader(path, 0)
    lines, offsets, too_long = reader.read(10, MANY)
    assert lines == [b"x", b"y"][: 1 + (b"y" in ending)]
    assert offsets == [0, length + 3][: len(lines)]
    digest = hashlib.sha256(long).hexdigest()
    payload = Payload(content=long[:MAX_PAYLOAD_BYTES], length=length, sha256=digest)
    assert too_long == [(2, payload)]
    assert reader.offset == path.stat().st_size
    reader.close()


def test_a_long_line_that_has_not_ended_is_left_until_it_has(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x\n" + b"a" * 3_000_000)
    reader = LineReader(path, 0)
    assert reader.read(10, MANY)[0] == [b"x"]
    assert reader.read(10, MANY) == ([], [], [])
    assert reader.offset == 2
    with path.open("ab") as file:
        file.write(b"aa\ny\n")
    lines, offsets, too_long = reader.read(10, MANY)
    assert (lines, offsets) == ([b"y"], [3_000_005])
    assert [payload.length for _, payload in too_long] == [3_000_002]
    reader.close()


def test_a_batch_is_bounded_in_bytes(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes((b"a" * 999_999 + b"\n") * 8)
    reader = LineReader(path, 0)
    assert len(reader.read(100, 2_000_000)[0]) < 6
    reader.close()
