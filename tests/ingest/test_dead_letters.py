"""Dead letters: on the disk before their batch, once a position, whole after a crash."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.dead_letters.dead_letter import MAX_PAYLOAD_BYTES, DeadLetter, Payload
from ingest.dead_letters.file import DeadLetterFile


def letter(
    offset: int = 0, *, reason: str = "r", content: bytes = b"x", recorded_at: int = 5
) -> DeadLetter:
    return DeadLetter(
        reason=reason,
        source="/f",
        partition=0,
        offset=offset,
        payload=Payload.of(content),
        recorded_at=recorded_at,
    )


@given(st.lists(st.binary(max_size=20), max_size=5))
def test_original_bytes_survive(
    tmp_path_factory: pytest.TempPathFactory, contents: list[bytes]
) -> None:
    letters = DeadLetterFile(tmp_path_factory.mktemp("letters") / "d.jsonl")
    written = [letter(offset, content=content) for offset, content in enumerate(contents)]
    letters.append(written)
    assert letters.read() == written
    assert letters.count() == len(written)


def test_text_is_kept_as_text_and_the_rest_as_base64() -> None:
    assert letter(content="é".encode()).document()["text"] == "é"
    assert letter(content=b"\xff").document()["base64"] == "/w=="


def test_long_content_is_cut_with_length_and_hash(tmp_path: Path) -> None:
    letters = DeadLetterFile(tmp_path / "d.jsonl")
    letters.append([letter(content=b"x" * (MAX_PAYLOAD_BYTES + 1))])
    [kept] = letters.read()
    assert kept.payload.content == b"x" * MAX_PAYLOAD_BYTES
    assert kept.payload.length == MAX_PAYLOAD_BYTES + 1
    assert kept.payload.sha256 is not None


def test_the_newest_letter_of_a_position_counts(tmp_path: Path) -> None:
    letters = DeadLetterFile(tmp_path / "d.jsonl")
    letters.append([letter(1), letter(2)])
    letters.append([letter(1, reason="again")])
    assert [(each.offset, each.reason) for each in letters.read()] == [(1, "again"), (2, "r")]
    assert letters.count() == 2


@pytest.mark.parametrize("kept_bytes", [1, 40, 100])
def test_a_line_that_a_crash_tore_is_skipped_and_then_healed(
    tmp_path: Path, kept_bytes: int
) -> None:
    path = tmp_path / "d.jsonl"
    letters = DeadLetterFile(path)
    letters.append([letter(1), letter(2)])
    whole = path.read_bytes()
    second = whole.index(b"\n") + 1
    path.write_bytes(whole[: second + kept_bytes])
    assert [each.offset for each in letters.read()] == [1]
    letters.append([letter(3)])
    assert [each.offset for each in letters.read()] == [1, 3]
    assert all(json.loads(line) for line in path.read_bytes().splitlines())


def test_a_torn_line_longer_than_a_block_is_healed(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_bytes(b'{"reason": "' + b"x" * 200_000)
    letters = DeadLetterFile(path)
    letters.append([letter(3)])
    assert [each.offset for each in letters.read()] == [3]


def test_letters_leave_after_their_retention(tmp_path: Path) -> None:
    letters = DeadLetterFile(tmp_path / "d.jsonl")
    assert letters.trim(10) == 0
    letters.append([letter(1, recorded_at=9), letter(2, recorded_at=10)])
    assert letters.trim(10) == 1
    assert [each.offset for each in letters.read()] == [2]


def test_nothing_is_made_for_nothing(tmp_path: Path) -> None:
    letters = DeadLetterFile(tmp_path / "d.jsonl")
    letters.append([])
    assert letters.read() == []
    assert list(tmp_path.iterdir()) == []
