"""Archives of events: positions in what they hold, the end known, damage named."""

import gzip
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from backports import zstd

from graphdb.facts import Position
from ingest.errors import ArchiveBroken, SourceChanged, SourceIncomplete
from ingest.kafka.publisher import line_numbers
from ingest.sources import archives, lines
from ingest.sources.archives import FileBytes
from ingest.sources.files import FileSource
from ingest.sources.source import Extent, Records
from tests.ingest.made import follow_lines, line

EVENTS = follow_lines(500)
TEXT = b"".join(text + b"\n" for text in EVENTS)
Compress = Callable[[bytes], bytes]

ARCHIVES: dict[str, Compress] = {
    "e.jsonl.gz": gzip.compress,
    "e.jsonl.zst": zstd.compress,
    "gzip_by_another_name.jsonl": gzip.compress,
}


@pytest.fixture(params=ARCHIVES, ids=str)
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Compress]:
    return tmp_path / request.param, ARCHIVES[request.param]


def opened(path: Path, positions: Sequence[Position] = ()) -> FileSource:
    source = FileSource(path)
    source.seek(positions)
    return source


def drain(source: FileSource, max_events: int = 70) -> list[Records]:
    found: list[Records] = []
    while records := source.read(max_events):
        found += records
    return found


def texts(found: list[Records]) -> list[bytes]:
    return [text for run in found for text in run.lines]


def test_an_archive_is_read_as_what_it_holds(archive: tuple[Path, Compress]) -> None:
    path, compress = archive
    path.write_bytes(compress(TEXT))
    source = opened(path)
    found = drain(source)
    assert texts(found) == EVENTS
    assert [TEXT[offset:].split(b"\n")[0] for run in found for offset in run.offsets] == EVENTS
    assert found[-1].move.next.offset == len(TEXT)
    size = path.stat().st_size
    assert source.extent() == Extent(done=size, total=size)
    assert source.warnings() == []
    source.check_complete()


def test_reading_goes_on_from_anywhere(archive: tuple[Path, Compress]) -> None:
    path, compress = archive
    path.write_bytes(compress(TEXT))
    found = drain(opened(path))
    for index, run in enumerate(found):
        rest = drain(opened(path, [run.move.next]))
        assert texts(rest) == texts(found[index + 1 :])
        assert [each.move.next for each in rest[-1:]] == [
            each.move.next for each in found[index + 1 :][-1:]
        ]


def test_an_archive_that_was_read_is_not_opened_again(
    archive: tuple[Path, Compress], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, compress = archive
    path.write_bytes(compress(TEXT))
    end = drain(opened(path))[-1].move.next
    monkeypatch.delattr(lines, "FileBytes")
    source = opened(path, [end])
    assert source.read(10) is None
    assert source.extent().done == path.stat().st_size


def test_members_one_after_the_other_and_a_last_line_without_end(
    archive: tuple[Path, Compress],
) -> None:
    """An archive does not grow, so its last line is whole, whatever it is."""
    path, compress = archive
    first, second = TEXT[:1000], TEXT[1000:] + b"nonsense"
    path.write_bytes(compress(first) + compress(b"") + compress(second))
    assert texts(drain(opened(path))) == [*EVENTS, b"nonsense"]


@pytest.mark.parametrize("text", [b"", b"\n \n"])
def test_an_archive_of_nothing(archive: tuple[Path, Compress], text: bytes) -> None:
    path, compress = archive
    path.write_bytes(compress(text))
    source = opened(path)
    found = drain(source)
    assert texts(found) == []
    assert opened(path, [found[-1].move.next]).read(5) is None


def test_what_stands_before_the_damage_is_read_and_the_rest_when_it_is_whole(
    archive: tuple[Path, Compress],
) -> None:
    path, compress = archive
    whole = compress(TEXT) + compress(TEXT)
    path.write_bytes(whole[: len(whole) * 3 // 4])
    source = opened(path)
    found = drain(source)
    assert texts(found)[: len(EVENTS)] == EVENTS
    with pytest.raises(SourceIncomplete, match=f"{path.name} is an archive that is cut short"):
        source.check_complete()
    path.write_bytes(whole)
    rest = drain(source)
    source.check_complete()
    assert texts(found) + texts(rest) == 2 * EVENTS


def test_damage(archive: tuple[Path, Compress]) -> None:
    path, compress = archive
    path.write_bytes(compress(TEXT) + b"something else, long enough for any header")
    source = opened(path)
    assert texts(drain(source)) == EVENTS
    with pytest.raises(SourceIncomplete, match="cut short or damaged"):
        source.check_complete()


def test_an_archive_that_was_read_to_its_end_may_not_grow(archive: tuple[Path, Compress]) -> None:
    path, compress = archive
    path.write_bytes(compress(TEXT))
    end = drain(opened(path))[-1].move.next
    with path.open("ab") as file:
        file.write(compress(TEXT))
    with pytest.raises(SourceChanged, match=r"when it was read to its end.*--from earliest"):
        opened(path, [end])


def test_an_archive_that_ends_before_its_position(archive: tuple[Path, Compress]) -> None:
    path, compress = archive
    path.write_bytes(compress(TEXT[:100]))
    with pytest.raises(ArchiveBroken, match="ends 50 bytes before"):
        FileBytes(path, 150)


@pytest.mark.parametrize("suffix", archives.SUFFIXES)
def test_a_name_that_promises_too_much(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"e.jsonl{suffix}"
    path.write_bytes(TEXT)
    source = opened(path)
    assert source.read(5) is None
    with pytest.raises(SourceIncomplete, match=r"does not begin as an archive.*name it \.jsonl"):
        source.check_complete()


def test_a_long_window_and_frames_to_be_skipped(tmp_path: Path) -> None:
    options = {
        zstd.CompressionParameter.window_log: 28,
        zstd.CompressionParameter.enable_long_distance_matching: 1,
    }
    path = tmp_path / "e.jsonl.zst"
    skipped = b"\x50\x2a\x4d\x18" + (3).to_bytes(4, "little") + b"abc"
    path.write_bytes(skipped + zstd.compress(TEXT, options=options))
    assert texts(drain(opened(path))) == EVENTS


def test_numbers_of_lines_are_those_of_what_it_holds(archive: tuple[Path, Compress]) -> None:
    path, compress = archive
    path.write_bytes(compress(TEXT))
    starts = [index for index in range(len(TEXT)) if index == 0 or TEXT[index - 1] == 10]
    assert line_numbers(path, starts[::100]) == [1, 101, 201, 301, 401]


def test_positions_by_time_are_those_of_what_it_holds(archive: tuple[Path, Compress]) -> None:
    path, compress = archive
    days = [line(time=f"2026-01-0{day}T00:00:00Z") for day in (1, 3, 2, 5)]
    path.write_bytes(compress(b"\n".join(days)))
    [found] = opened(path).at_time(1_767_398_400_000_000)
    assert texts(drain(opened(path, [found]))) == days[1:]
