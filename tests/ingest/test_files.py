"""Positions in files: they may grow but not change."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from graphdb.facts import Position
from ingest.errors import SourceChanged, SourceMissing
from ingest.sources.files import FileSource
from ingest.sources.open import open_source
from ingest.sources.source import Extent, Records
from tests.ingest.made import follow_lines, line


def opened(path: Path, positions: Sequence[Position] = ()) -> FileSource:
    source = FileSource(path)
    source.seek(positions)
    return source


def drain(source: FileSource, max_events: int = 3) -> list[Records]:
    found: list[Records] = []
    while records := source.read(max_events):
        assert sum(len(run.lines) for run in records) <= max_events
        found += records
    return found


def texts(found: list[Records]) -> list[bytes]:
    return [text for run in found for text in run.lines]


def write(path: Path, lines: Sequence[bytes]) -> None:
    path.write_bytes(b"".join(text + b"\n" for text in lines))


def test_moves_are_a_chain_from_nothing_to_the_end(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    write(path, follow_lines(8))
    found = drain(opened(path))
    assert texts(found) == follow_lines(8)
    assert [run.move.expected for run in found] == [
        None,
        *[run.move.next.offset for run in found[:-1]],
    ]
    last = found[-1].move.next
    assert (last.source, last.partition, last.offset) == (str(path), 0, path.stat().st_size)


def test_reading_goes_on_from_a_stored_position_when_the_file_has_grown(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    write(path, follow_lines(2))
    [first] = drain(opened(path))
    write(path, follow_lines(5))
    found = drain(opened(path, [first.move.next]))
    assert texts(found) == follow_lines(3, first=2)
    assert found[0].move.expected == first.move.next.offset
    assert found[0].move.next.fingerprint == first.move.next.fingerprint


def test_a_file_that_was_empty_at_first(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    path.touch()
    source = opened(path)
    assert drain(source) == []
    assert source.warnings() == [f"{path} is empty"]
    write(path, follow_lines(1))
    [run] = drain(source)
    assert run.move.next.fingerprint is not None
    assert not run.move.next.fingerprint.startswith("0:")


def test_a_file_that_shrank_stops_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    write(path, follow_lines(5))
    last = drain(opened(path))[-1].move.next
    write(path, follow_lines(3))
    with pytest.raises(SourceChanged, match=r"bytes long.*--from earliest"):
        opened(path, [last])


def test_a_file_that_changed_stops_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    write(path, follow_lines(5))
    last = drain(opened(path))[-1].move.next
    write(path, follow_lines(9, first=1))
    with pytest.raises(SourceChanged, match=r"no longer begins.*--from earliest"):
        opened(path, [last])


def test_a_file_that_is_replaced_while_it_is_followed_stops(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    write(path, follow_lines(5))
    source = opened(path)
    drain(source)
    other = tmp_path / "other"
    write(other, follow_lines(20, first=50))
    other.replace(path)
    with pytest.raises(SourceChanged):
        drain(source)


def test_a_file_is_the_same_by_whichever_name(tmp_path: Path) -> None:
    path, link = tmp_path / "e.jsonl", tmp_path / "link"
    write(path, follow_lines(3))
    link.symlink_to(path)
    stored = [run.move.next for run in drain(opened(link))]
    assert drain(opened(path, stored[-1:])) == []


def test_a_folder_is_read_in_order_of_names_and_may_gain_files(tmp_path: Path) -> None:
    write(tmp_path / "b.jsonl", follow_lines(2, first=10))
    write(tmp_path / "a.jsonl", follow_lines(2))
    for name in ("labels.jsonl", "notes.txt", ".hidden.jsonl"):
        (tmp_path / name).write_text("not events\n")
    source = opened(tmp_path)
    assert texts(drain(source, 10)) == [*follow_lines(2), *follow_lines(2, first=10)]
    write(tmp_path / "c.jsonl", follow_lines(1, first=20))
    assert texts(drain(source)) == follow_lines(1, first=20)
    assert source.extent() == Extent(done=source.extent().total, total=source.extent().total)


def test_small_files_share_a_batch_and_keep_no_file_open(tmp_path: Path) -> None:
    for number in range(3000):
        write(tmp_path / f"{number:04}.jsonl", follow_lines(1, first=number))
    source = opened(tmp_path)
    assert len(texts(source.read(10_000))) == 3000
    assert source.read(10_000) is None


def test_blank_lines_move_the_position_and_are_no_events(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    path.write_bytes(b"\n  \r\n" + line() + b"\r\n\n")
    [run] = drain(opened(path))
    assert run.lines == [line() + b"\r"]
    assert run.offsets == [5]
    assert run.move.next.offset == path.stat().st_size


def test_a_torn_last_line_is_left_with_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    path.write_bytes(line() + b"\n" + line()[:-5])
    source = opened(path)
    [run] = drain(source)
    assert run.lines == [line()]
    [warning] = source.warnings()
    assert f"{len(line()) - 5:,} bytes that are not a whole event" in warning
    path.write_bytes(line() + b"\n" + line())
    assert texts(drain(source)) == [line()]


def test_from_earliest_and_from_a_time(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    days = [line(time=f"2026-01-0{day}T00:00:00Z") for day in (1, 3, 2, 5)]
    write(path, [b"broken", *days])
    source = opened(path)
    [start] = source.earliest()
    assert start.offset == 0
    assert start == replace(drain(source, 9)[0].move.next, offset=0)
    third_us = 1_767_398_400_000_000
    [found] = source.at_time(third_us)
    assert texts(drain(opened(path, [found]), 9)) == days[1:]
    [end] = source.at_time(third_us * 2)
    assert end.offset == path.stat().st_size


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceMissing, match="neither a file nor a folder"):
        opened(tmp_path / "absent.jsonl")
    with pytest.raises(SourceMissing, match="cannot read events from s3://"):
        open_source("s3://bucket")
    assert opened(tmp_path).warnings() == [f"folder {tmp_path} has no .jsonl file yet"]


def test_a_url_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    write(path, follow_lines(1))
    source = open_source(f"file://{path}")
    source.seek([])
    assert texts(source.read(5)) == follow_lines(1)
    source.close()
