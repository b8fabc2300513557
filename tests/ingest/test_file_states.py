"""The state of one file is no matter of the others: it is named, and reading goes on."""

import gzip
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ingest.errors import SourceIncomplete, SourceMissing
from ingest.events.decoding import decode
from ingest.sources.files import FileSource
from ingest.sources.source import Extent, Records
from tests.ingest.conftest import Run
from tests.ingest.made import follow_lines
from tests.ingest.test_bad_input import unprivileged

FIRST, LAST = follow_lines(2), follow_lines(2, first=10)


def write(path: Path, lines: Sequence[bytes]) -> Path:
    path.write_bytes(b"".join(text + b"\n" for text in lines))
    return path


class Followed:
    """A folder that is followed, with two sound files; `told` is what a person was told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told: list[str] = []
        write(folder / "a.jsonl", FIRST)
        write(folder / "z.jsonl", LAST)

    def open(self, *, wait_seconds: float = 0.001) -> FileSource:
        source = FileSource(
            self.folder, wait_seconds=wait_seconds, decode=decode, note=self.told.append
        )
        source.seek([])
        return source


@pytest.fixture
def followed(tmp_path: Path) -> Followed:
    folder = tmp_path / "events"
    folder.mkdir()
    return Followed(folder)


def texts(found: Sequence[Records] | None) -> list[bytes]:
    return [text for run in found or () for text in run.lines]


def link_to_nothing(path: Path) -> None:
    path.symlink_to("nothing")


def circle(path: Path) -> None:
    path.symlink_to(path)


def other_format(path: Path) -> None:
    path.write_text("follower_id,followee_id\na,b\n")


def rejected(path: Path) -> None:
    path.write_bytes(b"nonsense\n" * 1000)


def broken_archive(path: Path) -> None:
    path.write_bytes(gzip.compress(b"x" * 100)[:-9])


def broken_from_the_start(path: Path) -> None:
    path.with_suffix(".jsonl.gz").write_bytes(b"nonsense\n")


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "link": (link_to_nothing, "cannot read {path}: No such file"),
    "circle": (circle, "cannot read {path}: "),
    "CSV": (other_format, "{path} is CSV"),
    "rejected": (rejected, "the first 1,000 lines of {path} are all rejected"),
    "archive": (broken_archive, "{path} is an archive that is cut short"),
    "name": (broken_from_the_start, "{path}.gz does not begin as an archive"),
}


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("wait_seconds", [0.0, 0.001])
def test_a_file_at_fault_is_named_once_and_the_others_are_read(
    followed: Followed, name: str, wait_seconds: float
) -> None:
    make, reason = FAULTS[name]
    path = followed.folder / "b.jsonl"
    make(path)
    source = followed.open(wait_seconds=wait_seconds)
    assert texts(source.read(10)) == [*FIRST, *LAST]
    assert source.read(10) is None
    assert source.extent().done <= source.extent().total
    assert source.warnings() == []
    [told] = followed.told
    assert told.startswith("warning: " + reason.format(path=path))
    with pytest.raises(SourceIncomplete, match=reason.format(path=path)):
        source.check_complete()
    for each in followed.folder.glob("b.*"):
        each.unlink()
    write(path, follow_lines(1, first=20))
    assert texts(source.read(10)) == follow_lines(1, first=20)
    source.check_complete()


def test_a_name_that_is_not_utf_8(followed: Followed, run: Run) -> None:
    bad = os.fsencode(followed.folder) + b"/\xff.jsonl"
    shutil.copy(followed.folder / "a.jsonl", bad)
    outcome = run("ingest", "--events", followed.folder, "--no-statistics")
    assert outcome.status == 1
    assert outcome.last_line.startswith("4 events: 4 applied")
    warning, error = outcome.err.splitlines()
    assert warning.startswith(f"warning: cannot read {followed.folder}/\\xff.jsonl: its name")
    assert error.startswith("error: cannot read")
    outcome = run("ingest", "--events", os.fsdecode(bad), "--no-statistics")
    assert (outcome.status, outcome.err.count("\n")) == (1, 1)
    assert "rename it" in outcome.err


def test_a_file_without_permission(followed: Followed) -> None:
    path = write(followed.folder / "b.jsonl", follow_lines(1))
    for each in (*path.parents, *followed.folder.iterdir()):
        if "pytest" in str(each):
            each.chmod(0o755)
    path.chmod(0)
    source = followed.open()
    with unprivileged():
        assert texts(source.read(10)) == [*FIRST, *LAST]
        assert followed.told == [f"warning: cannot read {path}: Permission denied"]
        with pytest.raises(SourceIncomplete):
            source.check_complete()
    path.chmod(0o644)
    assert texts(source.read(10)) == follow_lines(1)
    source.check_complete()


def test_a_file_that_is_moved_away_while_it_is_followed(followed: Followed) -> None:
    source = followed.open()
    source.read(10)
    path = followed.folder / "a.jsonl"
    size = path.stat().st_size
    path.rename(followed.folder / "a.jsonl.1")
    assert source.read(10) is None
    passed_over = "passed over in {}, since their names are not those of files of events"
    assert followed.told == [
        passed_over.format(followed.folder) + " (.jsonl, .jsonl.gz, .jsonl.zst): a.jsonl.1",
        f"warning: {path} is gone, moved or deleted; it was read up to byte {size}",
    ]
    write(followed.folder / "n.jsonl", follow_lines(1, first=30))
    assert texts(source.read(10)) == follow_lines(1, first=30)
    source.check_complete()


def test_what_an_open_file_holds_is_read_after_it_was_moved_away(followed: Followed) -> None:
    source = followed.open()
    assert texts(source.read(1)) == FIRST[:1]
    (followed.folder / "a.jsonl").unlink()
    assert texts(source.read(10)) == [*FIRST[1:], *LAST]
    assert source.read(10) is None
    assert len(followed.told) == 1


def test_a_file_that_is_replaced_is_named_and_the_others_are_read(followed: Followed) -> None:
    source = followed.open()
    source.read(10)
    path = followed.folder / "a.jsonl"
    path.unlink()
    write(path, follow_lines(9, first=50))
    write(followed.folder / "n.jsonl", follow_lines(1))
    assert texts(source.read(10)) == follow_lines(1)
    [told] = followed.told
    assert f"warning: {path} no longer begins as it did" in told
    with pytest.raises(SourceIncomplete, match=f"mmga ingest --events {path} --from earliest"):
        source.check_complete()
    source.seek(source.earliest())
    assert len(texts(source.read(50))) == 9 + 2 + 1
    source.check_complete()


def test_a_folder_that_disappears_is_waited_for(followed: Followed) -> None:
    source = followed.open()
    source.read(10)
    away = followed.folder.with_name("away")
    followed.folder.rename(away)
    assert source.read(10) is None
    assert source.extent() == Extent(done=source.extent().total, total=source.extent().total)
    away.rename(followed.folder)
    write(followed.folder / "n.jsonl", follow_lines(1))
    assert texts(source.read(10)) == follow_lines(1)
    [told] = followed.told
    assert "neither a file nor a folder" in told
    assert "waiting for it to come back" in told


def test_a_file_alone_that_disappears_is_waited_for(tmp_path: Path) -> None:
    told: list[str] = []
    path = write(tmp_path / "e.jsonl", FIRST)
    source = FileSource(path, wait_seconds=0.001, note=told.append)
    source.seek([])
    source.read(10)
    path.rename(tmp_path / "other")
    assert source.read(10) is None
    assert len(told) == 1
    (tmp_path / "other").rename(path)
    write(path, [*FIRST, *LAST])
    assert texts(source.read(10)) == LAST
    path.unlink()
    with pytest.raises(SourceMissing):
        FileSource(path, wait_seconds=0.001).seek([])


def test_other_files_of_a_folder_are_named_once(followed: Followed, run: Run) -> None:
    for name in ("b.csv", "c.json", "labels.jsonl", ".hidden", "d.JSONL"):
        (followed.folder / name).write_text("x\n")
    (followed.folder / "images").mkdir()
    for number in range(12):
        (followed.folder / f"p{number:02}.jpg").touch()
    source = followed.open()
    source.read(10)
    source.read(10)
    [told] = followed.told
    assert told.endswith(
        ": b.csv, c.json, d.JSONL, labels.jsonl, p00.jpg, p01.jpg, p02.jpg, p03.jpg, p04.jpg,"
        " p05.jpg and 6 more"
    )
    for name in ("q.jpg", "e.parquet"):
        (followed.folder / name).touch()
    source.read(10)
    assert followed.told[1:] == [told.partition(": ")[0] + ": e.parquet"]
    outcome = run("ingest", "--events", followed.folder, "--no-statistics")
    assert outcome.status == 0
    assert outcome.err.count("\n") == 1


def test_a_name_of_several_lines_is_told_in_one(followed: Followed, run: Run) -> None:
    write(followed.folder / "b\nc.jsonl", [b"["])
    (followed.folder / "d\ne.csv").touch()
    outcome = run("ingest", "--events", followed.folder, "--no-statistics")
    assert outcome.status == 1
    assert [text.partition(" ")[0] for text in outcome.err.splitlines()] == [
        "passed",
        "warning:",
        "error:",
    ]


def test_a_folder_without_events_says_what_it_has(tmp_path: Path, run: Run) -> None:
    (tmp_path / "posts.csv").touch()
    outcome = run("ingest", "--events", tmp_path)
    assert outcome.status == 1
    assert "it has no .jsonl file, compressed or not, only posts.csv" in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_short_file_without_events_is_told_of_while_it_is_followed(followed: Followed) -> None:
    path = write(followed.folder / "b.jsonl", [b"nonsense"])
    source = followed.open()
    assert len(texts(source.read(10))) == 5
    assert followed.told == []
    for _ in range(2):
        source.read(10)
        assert [told.partition(":")[2] for told in followed.told] == [
            f" none of the lines of {path} is an event: `mmga dead-letters list` tells why,"
            f" `mmga dead-letters drop --source {path}` drops them"
        ]
    write(path, [b"nonsense", *follow_lines(1)])
    assert texts(source.read(10)) == follow_lines(1)
    source.check_complete()


def test_positions_are_those_of_the_files_that_can_be_read(followed: Followed) -> None:
    broken_from_the_start(followed.folder / "b.jsonl")
    (followed.folder / "c.jsonl").symlink_to("nothing")
    source = followed.open()
    a, z = followed.folder / "a.jsonl", followed.folder / "z.jsonl"
    assert {each.source for each in source.at_time(0)} == {str(a), str(z)}
    assert str(a) in {each.source for each in source.earliest()}


def test_several_files_at_fault(followed: Followed, run: Run) -> None:
    other_format(followed.folder / "b.jsonl")
    rejected(followed.folder / "c.jsonl")
    outcome = run("ingest", "--events", followed.folder, "--no-statistics", "--json")
    assert outcome.status == 1
    *warnings, error = outcome.err.splitlines()
    assert len(warnings) == 2
    assert error == (
        "error: 2 files could not be read, for reasons that are told above:"
        f" {followed.folder}/b.jsonl, {followed.folder}/c.jsonl; put them right and run the same"
        " command, all others were read"
    )
