"""What a file is that holds no events, one a line, told once and with the remedy."""

import gzip
import json
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from ingest.errors import NotEvents
from ingest.events.decoding import decode
from ingest.sources import formats
from tests.ingest.conftest import Run
from tests.ingest.made import NOW, event, follow_lines, line

EVENTS = [json.loads(text) for text in follow_lines(3)]
TEXT = "".join(json.dumps(each) + "\n" for each in EVENTS)
BOM = b"\xef\xbb\xbf"
HTML = "<!DOCTYPE html>\n<html><body>404</body></html>\n"


def sqlite_file(path: Path) -> bytes:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (x)")
    return path.read_bytes()


def tar_file(path: Path) -> bytes:
    member = path.with_name("member")
    member.write_text(TEXT)
    with tarfile.open(path, "w") as tar:
        tar.add(member, "events.jsonl")
    return path.read_bytes()


OTHERS: dict[str, tuple[bytes, str]] = {
    "UTF-16 with a mark": (TEXT.encode("utf-16"), "UTF-16 text, not one event a line: iconv"),
    "UTF-16, big": (TEXT.encode("utf-16-be"), "iconv -f UTF-16BE"),
    "UTF-16, little": (TEXT.encode("utf-16-le"), "iconv -f UTF-16LE"),
    "an array": (json.dumps(EVENTS, indent=1).encode(), "one JSON array, not one event a line: jq"),
    "an array on a line": (json.dumps(EVENTS).encode() + b"\n", "one JSON array"),
    "an array after a mark": (BOM + b" \n" + json.dumps(EVENTS).encode(), "one JSON array"),
    "a long array": (json.dumps(EVENTS * 5000).encode(), "one JSON array"),
    "objects of several lines": (
        "\n".join(json.dumps(each, indent=2) for each in EVENTS).encode(),
        "objects of several lines each, not one event a line: jq -c .",
    ),
    "an object that begins on its first line": (
        b'{"specversion": "1.0",\n "id": "1"}\n',
        "objects of several lines",
    ),
    "CSV": (b"follower_id,followee_id\na,b\nc,d\n", "CSV"),
    "CSV of pandas": (b',follower_id,followee_id\r\n0,"a,x",b\r\n', "CSV"),
    "TSV": (b"follower_id\tfollowee_id\na\tb\n", "CSV"),
    "CR line ends": (TEXT.replace("\n", "\r").encode(), "CR alone, not one event a line: tr"),
    "HTML": (HTML.encode(), "HTML or XML"),
    "zip": (b"PK\x03\x04" + b"x" * 50, "a zip archive"),
    "parquet": (b"PAR1" + b"x" * 50, "a Parquet file"),
    "a JSON text sequence": (
        TEXT.replace('{"spec', '\x1e{"spec').encode(),
        "sequence, not one event a line: tr -d",
    ),
    "binary": (b"ab\n\x00\x01\x02cdefg", "binary data"),
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_what_it_is_and_the_remedy(
    name: str, compress: Callable[[bytes], bytes], tmp_path: Path, run: Run
) -> None:
    content, reason = OTHERS[name]
    path = tmp_path / "e.jsonl"
    path.write_bytes(compress(content))
    outcome = run("ingest", "--events", path, "--no-statistics")
    assert outcome.status == 1
    assert outcome.err.startswith(f"error: {path} is ")
    assert outcome.err.count("\n") == 1
    assert reason in outcome.err
    assert outcome.out == ""
    assert run("dead-letters", "list").out == "0 dead letters\n"


@pytest.mark.parametrize("make", [sqlite_file, tar_file])
def test_other_files(make: Callable[[Path], bytes], tmp_path: Path) -> None:
    found = formats.format_of(make(tmp_path / "f"))
    assert found is not None
    assert found.name.split()[1] in ("SQLite", "tar")


def rejections(lines: list[bytes]) -> list[tuple[int, str]]:
    return decode(lines, NOW).rejected


NOT_LINES = {"UTF-16 with a mark", "UTF-16, little", "a long array"}
"""Whose next line does not begin at a line break, or not within the first megabyte."""


@pytest.mark.parametrize("name", sorted(OTHERS.keys() - NOT_LINES))
def test_a_file_with_an_event_is_read_whatever_else_it_holds(name: str, tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    path.write_bytes(OTHERS[name][0] + b"\n" + line() + b"\n")
    assert formats.has_events(path, rejections)


@pytest.mark.parametrize("num_bad", [999, 1000])
def test_the_first_thousand_lines_decide(num_bad: int, tmp_path: Path, run: Run) -> None:
    path = tmp_path / "e.jsonl"
    path.write_bytes(b"nonsense\n\n" * num_bad + line() + b"\n")
    arguments = ("ingest", "--events", path, "--no-statistics", "--batch-size", "100")
    outcome = run(*arguments)
    if num_bad < 1000:
        assert outcome.status == 0
        assert outcome.last_line.startswith("1,000 events: 1 applied, 0 superseded, 999 dead")
        outcome = run(*arguments)
        assert outcome.last_line.startswith("0 events")
        assert outcome.err == ""
        return
    assert outcome.status == 1
    assert "first 1,000 lines" in outcome.err
    assert "malformed" in outcome.err
    assert "--keep-going" in outcome.err
    assert outcome.err.count("\n") == 1
    assert json.loads(run("status", "--json").out)["dead_letters"] == 0
    outcome = run(*arguments, "--keep-going")
    assert outcome.status == 0
    assert outcome.last_line.startswith("1,001 events: 1 applied, 0 superseded, 1,000 dead")
    assert run(*arguments).last_line.startswith("0 events")


def test_lines_that_are_too_long_count(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    path.write_bytes(b"x\n" + b"a" * (2 << 20) + b"\nx\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(formats, "NUM_LINES", 3)
        with pytest.raises(NotEvents, match="first 3 lines"):
            formats.has_events(path, rejections)
        patch.setattr(formats, "NUM_LINES", 4)
        assert not formats.has_events(path, rejections)


def test_a_short_file_without_any_event_is_kept_and_warned_of(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "e.jsonl"
    path.write_bytes(b"nonsense\n" * 5)
    outcome = run("ingest", "--events", path, "--no-statistics")
    assert outcome.status == 0
    assert "5 dead letters" in outcome.last_line
    assert outcome.err.startswith(f"warning: none of the lines of {path} is an event")
    with path.open("ab") as file:
        file.write(b"nonsense\n" * 995)
    assert run("ingest", "--events", path, "--no-statistics").status == 1
    assert run("dead-letters", "drop", "--source", path).last_line.startswith("5 dead letters")


@pytest.mark.usefixtures("defined")
def test_labels_are_judged_as_labels(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_bytes(b"".join(text + b"\n" for text in follow_lines(1000)))
    outcome = run("labels", "import", path)
    assert outcome.status == 1
    assert "first 1,000 lines" in outcome.err
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize(
    "content",
    [BOM + TEXT.encode(), b"".join(BOM + json.dumps(each).encode() + b"\n" for each in EVENTS)],
    ids=["first", "each"],
)
def test_byte_order_marks_are_skipped(content: bytes, tmp_path: Path, run: Run) -> None:
    path = tmp_path / "e.jsonl"
    path.write_bytes(content + b" " + BOM.strip() + b"\n" + BOM + b"\nnonsense\n" + content[:-1])
    outcome = run("ingest", "--events", path, "--no-statistics")
    assert outcome.last_line.startswith("8 events: 3 applied, 3 superseded, 2 dead letters")
    letters = json.loads(run("dead-letters", "list", "--json").out)
    assert [letter["offset"] for letter in letters] == [len(content), len(content) + 9]


def test_marks_within_a_text_are_kept(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "e.jsonl"
    made = json.dumps(event("post.created", data={"caption": "\ufeffa\ufeff"}), ensure_ascii=False)
    path.write_text(made + "\n")
    before = path.read_bytes()
    assert before.count(BOM) == 2
    run("ingest", "--events", path, "--no-statistics")
    from graphdb import open_graph

    with closing(
        open_graph(f"sqlite:///{tmp_path / 'home' / 'graph.db'}", read_only=True)
    ) as graph:
        [post] = graph.posts(["p1"])
    assert post.caption == "\ufeffa\ufeff"
