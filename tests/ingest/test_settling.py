"""Dead letters through the real commands: settled when they are read again, replayed, dropped."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.ingest.conftest import Run
from tests.ingest.made import follow_lines, line

BAD = line(time="2026-01-02T09:00:00", data={"follower_id": "late"})
GOOD = BAD.replace(b'09:00:00"', b'09:00:00Z"')


def write(path: Path, lines: Sequence[bytes]) -> Path:
    path.write_bytes(b"".join(text + b"\n" for text in lines))
    return path


def ingest(run: Run, events: Path, *arguments: str) -> None:
    outcome = run("ingest", "--events", events, "--no-statistics", *arguments)
    assert outcome.status == 0, outcome.err


def offsets(run: Run, *arguments: str | Path) -> list[int]:
    letters: list[dict[str, Any]] = json.loads(
        run("dead-letters", "list", "--json", *arguments).out
    )
    return [letter["offset"] for letter in letters]


@pytest.mark.parametrize("batch_size", ["1", "10000"])
def test_letters_of_a_file_that_was_put_right_are_settled(
    tmp_path: Path, run: Run, batch_size: str
) -> None:
    """Those of later lines too, which begin elsewhere now; what is still rejected stays."""
    events = write(tmp_path / "e.jsonl", [BAD, *follow_lines(2), BAD, b"nonsense"])
    ingest(run, events, "--batch-size", batch_size)
    assert len(offsets(run)) == 3
    write(events, [GOOD, *follow_lines(2), GOOD, b"nonsense"])
    ingest(run, events, "--from", "earliest", "--batch-size", batch_size)
    assert offsets(run) == [events.stat().st_size - len(b"nonsense\n")]
    assert json.loads(run("status", "--json").out)["dead_letters"] == 1


def test_letters_of_lines_that_were_taken_out_are_settled(tmp_path: Path, run: Run) -> None:
    events = write(tmp_path / "e.jsonl", [BAD, *follow_lines(2), BAD])
    ingest(run, events)
    write(events, follow_lines(2))
    ingest(run, events, "--from", "earliest")
    assert offsets(run) == []


def test_letters_before_a_time_that_is_read_again_stay(tmp_path: Path, run: Run) -> None:
    old = line(id="old", time="2026-01-01T00:00:00Z", data={"follower_id": "old"})
    events = write(tmp_path / "e.jsonl", [b"nonsense", old, *follow_lines(1), BAD])
    ingest(run, events)
    assert len(offsets(run)) == 2
    write(events, [b"nonsense", old, *follow_lines(1), GOOD])
    ingest(run, events, "--from", "2026-01-02")
    assert offsets(run) == [0]


def test_letters_of_another_file_stay(tmp_path: Path, run: Run) -> None:
    first, second = write(tmp_path / "a.jsonl", [BAD]), write(tmp_path / "b.jsonl", [BAD])
    ingest(run, first)
    ingest(run, second)
    write(first, [GOOD])
    ingest(run, first, "--from", "earliest")
    assert offsets(run, "--source", first) == []
    assert offsets(run, "--source", second) == [0]


@pytest.mark.usefixtures("defined")
def test_labels_that_were_ahead_of_the_clock_are_replayed(tmp_path: Path, run: Run) -> None:
    events = write(tmp_path / "e.jsonl", follow_lines(1))
    ingest(run, events)
    labels = write(tmp_path / "labels.jsonl", [b'{"user_id": "u0", "topic": "art"}', b"nonsense"])
    os.utime(labels, (4_000_000_000, 4_000_000_000))
    assert run("labels", "import", labels).status == 0
    [letter, _] = json.loads(run("dead-letters", "list", "--json").out)
    assert (letter["decoder"], letter["labels_time"][:4]) == ("labels", "2096")
    assert run("dead-letters", "replay").last_line.startswith("0 events sent again, 2 still")
    home = Path(os.environ["MMGA_HOME"])
    kept = home / "dead_letters.jsonl"
    kept.write_text(kept.read_text().replace("2096-", "2020-"))
    before = run("digest").out
    assert run("dead-letters", "replay").last_line == (
        "1 events sent again, 1 still rejected, 0 cannot be sent because they were cut"
    )
    assert run("digest").out != before
    assert offsets(run) == [len(b'{"user_id": "u0", "topic": "art"}\n')]


@pytest.mark.usefixtures("defined")
def test_labels_that_are_imported_again_settle_their_letters(tmp_path: Path, run: Run) -> None:
    labels = write(tmp_path / "labels.jsonl", [b'{"user_id": "u0"}', b'{"user_id": "u1"}'])
    run("labels", "import", labels)
    assert len(offsets(run)) == 2
    write(labels, [b'{"user_id": "u0", "topic": "a"}', b'{"user_id": "u1"}'])
    run("labels", "import", labels)
    assert offsets(run) == [len(b'{"user_id": "u0", "topic": "a"}\n')]


def test_dropping(tmp_path: Path, run: Run) -> None:
    events = write(tmp_path / "e.jsonl", [BAD, b"nonsense", *follow_lines(1), BAD])
    ingest(run, events)
    name = f"{events}:0:0"
    assert run("dead-letters", "drop").status == 2
    assert run("dead-letters", "drop", "--all", "--reason", "x").status == 2
    outcome = run("dead-letters", "drop", name, f"{events}:0:1")
    assert outcome.status == 1
    assert outcome.err.startswith(f"error: no dead letter {events}:0:1:")
    assert outcome.err.count("\n") == 1
    assert len(offsets(run)) == 3
    assert run("dead-letters", "drop", name, "--dry-run").last_line == (
        "1 dead letters would be dropped, 2 kept"
    )
    assert run("dead-letters", "drop", name).last_line == "1 dead letters dropped, 2 kept"
    assert offsets(run, "--reason", "malformed") == [len(BAD) + 1]
    outcome = run("dead-letters", "drop", "--source", events, "--reason", "offset", "--json")
    assert json.loads(outcome.out) == {"num_dropped": 1, "num_kept": 1}
    assert run("dead-letters", "drop", "--before", "2020-01-01").last_line.startswith("0 dead")
    outcome = run("dead-letters", "drop", "--before", "soon")
    assert (outcome.status, outcome.err.count("\n")) == (1, 1)
    assert "--before" in outcome.err
    assert run("dead-letters", "drop", "--all").last_line == "1 dead letters dropped, 0 kept"
    assert (Path(os.environ["MMGA_HOME"]) / "dead_letters.jsonl").read_bytes() == b""
    ingest(run, events, "--from", "earliest")
    assert len(offsets(run)) == 3
