"""Dead letters: on the disk before their batch, once a position, whole after a crash."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.dead_letters.dead_letter import MAX_PAYLOAD_BYTES, DeadLetter, Payload, Settlement
from ingest.dead_letters.file import DeadLetterFile
from ingest.dead_letters.replay import recheck
from ingest.dead_letters.selection import Selection, drop
from tests.ingest.made import line


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


def settle(letters: DeadLetterFile, *settled: DeadLetter) -> None:
    letters.settle([Settlement.of(each) for each in settled])


def test_a_settled_letter_leaves_and_a_later_one_of_its_position_stays(tmp_path: Path) -> None:
    letters = DeadLetterFile(tmp_path / "d.jsonl")
    first, second, third = letter(1), letter(2), letter(3)
    letters.append([first, second, third])
    settle(letters, second)
    assert letters.read() == [first, third]
    again = letter(2, reason="again", recorded_at=6)
    letters.append([again])
    settle(letters, second)
    assert letters.read() == [first, third, again]
    assert letters.positions() == {("/f", 0, 1), ("/f", 0, 2), ("/f", 0, 3)}


def test_trimming_leaves_out_what_is_settled(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    letters = DeadLetterFile(path)
    letters.append([letter(1, content=b"secret"), letter(2)])
    settle(letters, letter(1))
    assert b"secret" in path.read_bytes()
    assert letters.trim(0) == 0
    assert b"secret" not in path.read_bytes()
    assert letters.read() == [letter(2)]


def test_a_drop_leaves_what_is_recorded_meanwhile(tmp_path: Path) -> None:
    letters = DeadLetterFile(tmp_path / "d.jsonl")
    letters.append([letter(1), letter(2)])
    seen = letters.read()
    DeadLetterFile(tmp_path / "d.jsonl").append([letter(2, recorded_at=9), letter(3)])
    drop(letters, seen)
    assert [(each.offset, each.recorded_at) for each in letters.read()] == [(2, 9), (3, 5)]


@pytest.mark.parametrize(
    ("selection", "offsets"),
    [
        (Selection(), [1, 2]),
        (Selection(names=frozenset({"/f:0:2"})), [2]),
        (Selection(source="/f"), [1, 2]),
        (Selection(source="f"), [1, 2]),
        (Selection(source="/g"), []),
        (Selection(reason="UTF-8"), [1]),
        (Selection(before=7), [1]),
        (Selection(before=7, reason="calendar"), []),
    ],
)
def test_what_a_selection_means(selection: Selection, offsets: list[int]) -> None:
    letters = [letter(1, reason="no utf-8"), letter(2, reason="no calendar", recorded_at=7)]
    assert [each.offset for each in selection.of(letters)] == offsets


def test_each_letter_is_judged_again_by_the_decoder_that_rejected_it() -> None:
    of_labels = replace(
        letter(1, content=b'{"user_id": "ann", "topic": "D"}'), labels_time="2026-01-01T00:00:00Z"
    )
    same_words = letter(2, content=of_labels.payload.content)
    rechecked = recheck([of_labels, same_words, letter(3, content=line())])
    assert [each.offset for each in rechecked.accepted] == [1, 3]
    assert rechecked.num_still_rejected == 1
    assert of_labels.document()["decoder"] == "labels"
    assert same_words.document()["decoder"] == "events"
