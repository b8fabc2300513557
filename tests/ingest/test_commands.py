"""The commands of ingestion, on the real stores."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from featurestore.definitions import USER_ACTIVITY
from featurestore.online.open import open_online_store
from featurestore.settings import FeatureStoreSettings
from foundation.image_report import ImageReport, write_image_report
from graphdb import open_graph
from graphdb.errors import GraphError
from graphdb.statistics import STATISTICS
from ingest.events.decoding import decode
from ingest.synthetic import SyntheticNetwork, write_synthetic_network
from tests.graphdb.oracle import GraphOracle
from tests.ingest.conftest import Outcome, Run, start
from tests.ingest.made import NOW, follow_lines, line


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> SyntheticNetwork:
    return write_synthetic_network(
        tmp_path_factory.mktemp("network"), num_users=25, posts_per_user=3, seed=4
    )


def status(run: Run) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(run("status", "--json").out)
    return document


def test_the_state_is_that_of_the_oracle(network: SyntheticNetwork, run: Run) -> None:
    lines = network.events.read_bytes().splitlines()
    oracle = GraphOracle()
    oracle.apply(decode(lines, NOW).batch())
    outcome = run("ingest", "--events", network.events, "--no-statistics", "--batch-size", "100")
    assert outcome.status == 0
    assert f"{network.num_bad_events} dead letters" in outcome.last_line
    assert run("digest").out == f"{oracle.digest()}\n"
    counts = oracle.counts()
    assert status(run)["graph"] == {
        "users": counts.users,
        "posts": counts.posts,
        "follows": counts.follows,
        "mutual_follows": counts.mutual_follows,
        "version": -(-len(lines) // 100),
    }


def test_a_shuffled_file_gives_the_same_digest(
    network: SyntheticNetwork, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = network.events.read_bytes().splitlines(keepends=True)
    digests = set()
    for seed in range(3):
        monkeypatch.setenv("MMGA_HOME", str(tmp_path / f"home{seed}"))
        random.Random(seed).shuffle(lines)
        events = tmp_path / f"{seed}.jsonl"
        events.write_bytes(b"".join(lines))
        size = ("7", "300", "10000")[seed]
        assert (
            run("ingest", "--events", events, "--no-statistics", "--batch-size", size).status == 0
        )
        digests.add(run("digest").out)
    assert len(digests) == 1


def test_statistics_follow_the_graph(
    network: SyntheticNetwork, home: Path, run: Run, tmp_path: Path
) -> None:
    events = tmp_path / "e.jsonl"
    events.write_bytes(network.events.read_bytes())
    outcome = run("ingest", "--events", events)
    assert outcome.status == 0
    assert "statistics: " in outcome.err
    state = status(run)
    version = state["graph"]["version"]
    assert state["stages"]["statistics"] == {"watermark": version, "lag_seconds": 0.0}
    assert {name: each["result"] for name, each in state["runs"].items()} == {
        "ingest": "ok",
        "statistics": "ok",
    }
    assert (state["generation"]["active"], state["generations"]) == (None, [])
    assert users_online(home) == users_in_graph(home)
    gone = users_in_graph(home)[0]
    with events.open("ab") as file:
        file.write(
            line("user.deleted", time="2026-08-01T00:00:00Z", data={"user_id": gone}) + b"\n"
        )
    assert run("ingest", "--events", events, "--no-statistics").status == 0
    state = status(run)
    assert state["stages"]["statistics"]["watermark"] == version
    assert state["stages"]["statistics"]["lag_seconds"] > 0
    assert gone in users_online(home)
    assert run("statistics").status == 0
    assert gone not in users_online(home)
    assert users_online(home) == users_in_graph(home)


def users_in_graph(home: Path) -> list[str]:
    graph = open_graph(f"sqlite:///{home / 'graph.db'}", read_only=True)
    users = graph.user_ids()
    graph.close()
    return users


def users_online(home: Path) -> list[str]:
    online = open_online_store(FeatureStoreSettings.at(home), read_only=True)
    users = sorted(user for page in online.user_ids(USER_ACTIVITY) for user in page)
    assert online.read(USER_ACTIVITY, users, STATISTICS).present.all()
    online.close()
    return users


@pytest.mark.usefixtures("defined")
def test_labels_are_imported_once(tmp_path: Path, home: Path, run: Run) -> None:
    events, labels = tmp_path / "e.jsonl", tmp_path / "labels.jsonl"
    events.write_bytes(b"".join(text + b"\n" for text in follow_lines(3)))
    labels.write_text(
        '{"user_id": "u0", "topic": "D"}\nnonsense\n{"user_id": "u1", "topic": "R"}\n'
    )
    run("ingest", "--events", events, "--no-statistics")
    outcome = run("labels", "import", labels)
    assert outcome.status == 0
    assert outcome.last_line.startswith("3 events: 2 applied, 0 superseded, 1 dead letters")
    first = run("digest").out
    outcome = run("labels", "import", labels)
    assert outcome.last_line.startswith("3 events: 0 applied, 2 superseded, 1 dead letters")
    assert run("digest").out == first
    assert status(run)["dead_letters"] == 1
    graph = open_graph(f"sqlite:///{home / 'graph.db'}", read_only=True)
    assert [(label.subject_id, label.labels) for label in graph.labels("user", task="topic")] == [
        ("u0", ("D",)),
        ("u1", ("R",)),
    ]
    graph.close()


def test_a_folder_of_files(
    tmp_path: Path, home: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "events"
    folder.mkdir()
    (folder / "a.jsonl").write_bytes(line(id="1") + b"\n")
    (folder / "b.jsonl").write_bytes(line(id="2", data={"followee_id": "cid"}) + b"\n")
    (folder / "labels.jsonl").write_text('{"user_id": "ann", "topic": "x"}\n')
    outcome = run("ingest", "--events", folder, "--no-statistics")
    assert outcome.last_line.startswith("2 events: 2 applied")
    monkeypatch.setenv("MMGA_EVENTS_URL", str(folder / "a.jsonl"))
    assert run("ingest", "--no-statistics").last_line.startswith("0 events")


def post_line(post_id: str, **data: str) -> bytes:
    return line("post.created", id=post_id, data={"post_id": post_id, **data}) + b"\n"


def images(home: Path, *post_ids: str) -> list[str | None]:
    graph = open_graph(f"sqlite:///{home / 'graph.db'}", read_only=True)
    found = [post.image for post in graph.posts(post_ids)]
    graph.close()
    return found


def test_a_path_of_an_image_belongs_to_the_folder_of_the_file_that_names_it(
    tmp_path: Path, home: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    for folder in (a, b):
        folder.mkdir()
        (folder / "events.jsonl").write_bytes(
            post_line(folder.name, image="images/1.jpg")
            + post_line(f"web {folder.name}", image="https://example.com/1.jpg")
        )
    (b / "follows.jsonl").write_bytes(line() + b"\n")
    assert run("ingest", "--events", a, "--no-statistics").status == 0
    assert run("ingest", "--events", b / "events.jsonl", "--no-statistics").status == 0
    assert run("ingest", "--events", b / "follows.jsonl", "--no-statistics").status == 0
    expected = [f"{a}/./images/1.jpg", f"{b}/./images/1.jpg", "https://example.com/1.jpg"]
    assert images(home, "a", "b", "web b") == expected
    monkeypatch.setenv("MMGA_MEDIA_ROOT", str(tmp_path / "media"))
    (a / "more.jsonl").write_bytes(post_line("c", image="images/1.jpg"))
    assert run("ingest", "--events", a / "more.jsonl", "--no-statistics").status == 0
    assert images(home, "a", "c") == [expected[0], f"{tmp_path}/media/./images/1.jpg"]


def test_links_to_files_of_other_folders_share_a_batch(
    tmp_path: Path, home: Path, run: Run
) -> None:
    links = tmp_path / "links"
    links.mkdir()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "events.jsonl").write_bytes(
            b"bad\n" + post_line(name, image="1.jpg") + line(id=name) + b"\n"
        )
        (links / f"{name}.jsonl").symlink_to(tmp_path / name / "events.jsonl")
    outcome = run("ingest", "--events", links, "--no-statistics")
    assert outcome.last_line.startswith("6 events: 3 applied, 1 superseded, 2 dead letters")
    assert status(run)["graph"]["version"] == 1
    assert images(home, "a", "b") == [f"{tmp_path}/{name}/./1.jpg" for name in "ab"]
    listed = run("dead-letters", "list").out.splitlines()
    assert [row.partition(":0:0 ")[0] for row in listed[:2]] == [
        str(tmp_path / name / "events.jsonl") for name in "ab"
    ]


def test_a_file_in_another_folder_is_the_same_graph(
    tmp_path: Path, home: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = set()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "events.jsonl").write_bytes(post_line("p", image="images/1.jpg"))
    for homes in ("ab", "b"):
        monkeypatch.setenv("MMGA_HOME", str(tmp_path / f"home {homes}"))
        for name in homes:
            assert run("ingest", "--events", tmp_path / name, "--no-statistics").status == 0
        digests.add(run("digest").out)
    assert len(digests) == 1


def test_a_dead_letter_that_is_replayed_keeps_its_folder(
    tmp_path: Path, home: Path, run: Run
) -> None:
    events = tmp_path / "events.jsonl"
    events.write_bytes(post_line("p", image="1.jpg", time="x").replace(b"2026", b"9026"))
    assert run("ingest", "--events", events, "--no-statistics").status == 0
    letters = home / "dead_letters.jsonl"
    letters.write_bytes(letters.read_bytes().replace(b"9026", b"2026"))
    assert run("dead-letters", "replay").out.startswith("1 events sent again")
    assert images(home, "p") == [f"{tmp_path}/./1.jpg"]


def test_the_status_counts_images_as_the_last_training_saw_them(
    tmp_path: Path, home: Path, run: Run
) -> None:
    events = tmp_path / "events.jsonl"
    events.write_bytes(line() + b"\n")
    run("ingest", "--events", events, "--no-statistics")
    assert "not read yet" in run("status").out
    with closing(open_graph(f"sqlite:///{home / 'graph.db'}", read_only=True)) as graph:
        report = ImageReport(
            num_ok=3, missing={"too many pixels": 2}, pending={"no answer": 1}, num_read=0
        )
        write_image_report(home, graph.graph_id, report)
    shown = "3 ok, 2 missing (too many pixels: 2), 1 pending (no answer: 1), as of the last"
    assert shown in run("status").out


def test_from_a_time_on(tmp_path: Path, run: Run) -> None:
    events = tmp_path / "e.jsonl"
    events.write_bytes(
        b"".join(
            line(id=str(day), time=f"2026-01-0{day}T00:00:00Z", data={"followee_id": f"u{day}"})
            + b"\n"
            for day in range(1, 7)
        )
    )
    arguments = ("ingest", "--events", events, "--no-statistics", "--json")
    outcome = run(*arguments, "--from", "2026-01-05")
    assert json.loads(outcome.out)["applied"] == 2
    outcome = run(*arguments, "--from", "2026-01-04T12:00:00+12:00")
    totals = json.loads(outcome.out)
    assert (totals["applied"], totals["superseded"]) == (1, 2)
    outcome = run(*arguments, "--from", "earliest")
    assert json.loads(outcome.out)["events"] == 6
    assert status(run)["graph"]["follows"] == 6


def test_dead_letters_leave_after_their_retention(tmp_path: Path, home: Path, run: Run) -> None:
    events = tmp_path / "e.jsonl"
    events.write_bytes(b"bad\n")
    run("ingest", "--events", events, "--no-statistics")
    assert run("dead-letters", "list").out.splitlines() == [
        f"{events}:0:0  JSON is malformed: invalid character (byte 0)",
        "1 dead letters",
    ]
    path = home / "dead_letters.jsonl"
    letter = json.loads(path.read_text())
    path.write_text(json.dumps({**letter, "recorded_at": 0}) + "\n")
    run("ingest", "--events", events, "--no-statistics")
    assert run("dead-letters", "list").out == "0 dead letters\n"


def test_what_there_is_before_anything_was_ingested(run: Run) -> None:
    for command in ("status", "digest"):
        outcome = run(command)
        assert outcome.status == 1
        assert outcome.err.count("\n") == 1
    assert run("dead-letters", "list").out == "0 dead letters\n"


@pytest.mark.usefixtures("defined")
def test_statistics_are_left_to_whoever_holds_them(tmp_path: Path, home: Path, run: Run) -> None:
    events = tmp_path / "e.jsonl"
    events.write_bytes(line() + b"\n")
    run("ingest", "--events", events)
    with start("statistics", "--follow") as other:
        wait_for(home / "statistics.lock", str(other.pid))
        with events.open("ab") as file:
            file.write(line(id="2", data={"followee_id": "cid"}) + b"\n")
        outcome = run("ingest", "--events", events)
        assert outcome.status == 0
        assert f"left to another process (statistics already runs on {home}" in outcome.err
        end = time.monotonic() + 30
        while "cid" not in users_online(home):
            assert time.monotonic() < end
            time.sleep(0.1)
        other.send_signal(signal.SIGTERM)
        _, err = other.communicate(timeout=20)
    assert other.returncode == 0, err


def wait_for(path: Path, text: str) -> None:
    end = time.monotonic() + 30
    while not (path.exists() and path.read_text().strip() == text):
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_signal_ends_a_run_between_two_batches(tmp_path: Path, home: Path, run: Run) -> None:
    events = tmp_path / "e.jsonl"
    events.write_bytes(b"".join(text + b"\n" for text in follow_lines(20_000)))
    arguments = ("ingest", "--events", events, "--no-statistics", "--batch-size", "5")
    with start(*arguments) as process:
        end = time.monotonic() + 30
        while num_follows(home) == 0:
            assert time.monotonic() < end
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert out == ""
    assert err.startswith("stopped by SIGINT: ")
    assert err.count("\n") == 1
    done = status(run)["graph"]["follows"]
    assert done % 5 == 0
    assert 0 < done < 20_000
    outcome: Outcome = run("ingest", "--events", events, "--no-statistics")
    assert outcome.last_line.startswith(f"{20_000 - done:,} events: {20_000 - done:,} applied")


def num_follows(home: Path) -> int:
    """Follows that another process has committed so far."""
    if not (home / "graph.db").exists():
        return 0
    try:
        graph = open_graph(f"sqlite:///{home / 'graph.db'}", read_only=True)
    except GraphError:
        return 0
    number = graph.counts().follows
    graph.close()
    return number


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys, mmga\n"
        "for command in ('ingest', 'labels', 'statistics', 'status', 'digest', 'dead-letters'):\n"
        "    try: mmga.main([command, '--help'])\n"
        "    except SystemExit: pass\n"
        "print([name for name in ('feast', 'torch', 'ray', 'pandas', 'pyarrow', 'rich.progress')"
        " if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.usefixtures("defined")
def test_the_graph_file_is_whole_after_everything(
    network: SyntheticNetwork, home: Path, run: Run
) -> None:
    run("ingest", "--events", network.events)
    connection = sqlite3.connect(home / "graph.db")
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
