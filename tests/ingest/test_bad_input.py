"""Bad input through the real command: a dead letter or a line of error, never a lost neighbour."""

import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.ingest.conftest import Run, start
from tests.ingest.made import follow_lines, line

NOBODY = 65_534

BAD_LINES = {
    "truncated line": (line()[:-20], "truncated"),
    "10 MB line": (b'{"x": "' + b"a" * 10_000_000 + b'"}', "longer than 1048576 bytes"),
    "10 MB line of something else": (b"a" * 10_000_000, "longer than 1048576 bytes"),
    "1 MB caption": (line("post.created", data={"caption": "a" * 1_000_000}), "65536"),
    "invalid UTF-8": (line().replace(b"bob", b"b\xff\xfeb"), "UTF-8"),
    "unknown type": (line("story.created"), "story.created"),
    "wrong field": (line(data={"followee_id": 5}), "followee_id"),
    "negative count": (line("post.engagement", data={"like_count": -1}), "like_count"),
    "year 9999": (line(time="9999-12-31T23:59:59Z"), "24 h ahead"),
    "self-follow": (line(data={"followee_id": "ann"}), "same user"),
    "NUL in a caption": (line("post.created", data={"caption": "a\0b"}), "NUL"),
    "NUL in the line": (b"\0", "malformed"),
    "nested": (b"[" * 200_000, "object"),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_is_one_dead_letter(name: str, tmp_path: Path, run: Run) -> None:
    bad, reason = BAD_LINES[name]
    good = follow_lines(3)
    events = tmp_path / "e.jsonl"
    events.write_bytes(b"\n".join([good[0], bad, good[1], bad, good[2]]) + b"\n")
    outcome = run("ingest", "--events", events, "--no-statistics")
    assert outcome.status == 0
    assert outcome.err == ""
    assert outcome.last_line.startswith("5 events: 3 applied, 0 superseded, 2 dead letters")
    assert json.loads(run("status", "--json").out)["graph"]["follows"] == 3
    letters = json.loads(run("dead-letters", "list", "--json").out)
    assert [letter["offset"] for letter in letters] == [
        len(good[0]) + 1,
        len(good[0]) + len(bad) + len(good[1]) + 3,
    ]
    for letter in letters:
        assert reason in letter["reason"]
        assert letter["source"] == str(events)
        assert letter["length"] == len(bad)
    assert json.loads(run("status", "--json").out)["dead_letters"] == 2


def test_a_truncated_last_line_is_left_with_a_warning(tmp_path: Path, run: Run) -> None:
    events = tmp_path / "e.jsonl"
    first, second = follow_lines(2)
    events.write_bytes(first + b"\n" + second[:-10])
    outcome = run("ingest", "--events", events, "--no-statistics")
    assert outcome.status == 0
    assert outcome.err.count("\n") == 1
    assert "not a whole event" in outcome.err
    assert "0 dead letters" in outcome.last_line
    events.write_bytes(first + b"\n" + second)
    outcome = run("ingest", "--events", events, "--no-statistics")
    assert outcome.last_line.startswith("1 events: 1 applied")
    assert outcome.err == ""


def test_an_empty_file_is_nothing_but_a_warning(tmp_path: Path, run: Run) -> None:
    events = tmp_path / "e.jsonl"
    events.touch()
    outcome = run("ingest", "--events", events, "--no-statistics")
    assert outcome.status == 0
    assert outcome.err == f"warning: {events} is empty\n"
    assert outcome.last_line.startswith("0 events")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--events", "absent.jsonl"], "no events at absent.jsonl"),
        (["--events", "empty"], "no .jsonl file"),
        (["--events", "s3://bucket"], "cannot read events from s3://"),
        (["--events", "/dev/null"], "neither a file nor a folder"),
        (["--events", "e.jsonl", "--from", "yesterday"], "RFC 3339"),
        (["--events", "e.jsonl", "--from", "2026-13-01"], "RFC 3339"),
        ([], "MMGA_EVENTS_URL"),
    ],
)
def test_what_cannot_be_read_is_one_line_of_error(
    arguments: list[str], message: str, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "e.jsonl").write_bytes(line() + b"\n")
    outcome = run("ingest", "--no-statistics", *arguments)
    assert outcome.status == 1
    assert outcome.out == ""
    assert outcome.err.startswith("error: ")
    assert outcome.err.count("\n") == 1
    assert message in outcome.err


def test_labels_that_are_not_there(tmp_path: Path, run: Run) -> None:
    outcome = run("labels", "import", tmp_path / "absent.jsonl")
    assert outcome.status == 1
    assert outcome.err.count("\n") == 1


def test_a_file_that_changed_is_one_line_of_error_with_the_remedy(tmp_path: Path, run: Run) -> None:
    events = tmp_path / "e.jsonl"
    events.write_bytes(b"".join(text + b"\n" for text in follow_lines(3)))
    run("ingest", "--events", events, "--no-statistics")
    events.write_bytes(b"".join(text + b"\n" for text in follow_lines(5, first=2)))
    outcome = run("ingest", "--events", events, "--no-statistics")
    assert outcome.status == 1
    assert outcome.err.count("\n") == 1
    assert f"mmga ingest --events {events} --from earliest" in outcome.err
    outcome = run("ingest", "--events", events, "--no-statistics", "--from", "earliest")
    assert outcome.last_line.startswith("5 events: 4 applied, 1 superseded")


def test_a_home_that_is_not_a_folder(tmp_path: Path, home: Path, run: Run) -> None:
    events = tmp_path / "e.jsonl"
    events.write_bytes(line() + b"\n")
    home.touch()
    outcome = run("ingest", "--events", events)
    assert outcome.status == 1
    assert outcome.err.count("\n") == 1
    assert "MMGA_HOME" in outcome.err


def test_a_read_only_home(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Judged without root's privileges, which ignore permissions."""
    folder = Path(tempfile.mkdtemp())
    try:
        folder.chmod(0o755)
        (folder / "home").mkdir(mode=0o555)
        events = folder / "e.jsonl"
        events.write_bytes(line() + b"\n")
        assert run("ingest", "--events", events, "--no-statistics").status == 0  # imports
        monkeypatch.setenv("MMGA_HOME", str(folder / "home"))
        with unprivileged():
            outcome = run("ingest", "--events", events)
        assert outcome.status == 1
        assert outcome.out == ""
        assert outcome.err.startswith(f"error: cannot write the home folder {folder}/home")
        assert outcome.err.count("\n") == 1
    finally:
        shutil.rmtree(folder)


@contextmanager
def unprivileged() -> Iterator[None]:
    """As a user whom permissions bind."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


def test_a_second_ingest_on_the_same_home(tmp_path: Path, home: Path, run: Run) -> None:
    events = tmp_path / "e.jsonl"
    events.write_bytes(line(id="1") + b"\n")
    arguments = ("ingest", "--events", events, "--no-statistics")
    with start(*arguments, "--follow") as first:
        wait_for_follows(run, home, 1)
        outcome = run(*arguments)
        assert outcome.status == 1
        assert f"process {first.pid}" in outcome.err
        assert outcome.err.count("\n") == 1
        with events.open("ab") as file:
            file.write(line(id="2", data={"followee_id": "cid"}) + b"\n")
        wait_for_follows(run, home, 2)
        first.send_signal(signal.SIGTERM)
        out, err = first.communicate(timeout=20)
    assert first.returncode == 0, err
    assert out.startswith("2 events: 2 applied")
    assert run(*arguments).status == 0


def wait_for_follows(run: Run, home: Path, number: int) -> None:
    """Until another process has committed so many follows."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if (home / "graph.db").exists():
            outcome = run("status", "--json")
            if outcome.status == 0 and json.loads(outcome.out)["graph"]["follows"] == number:
                return
        time.sleep(0.1)
    raise AssertionError(f"{number} follows did not come within 30 s")
