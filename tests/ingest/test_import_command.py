"""`mmga import`, on the embedded stores."""

import json
from contextlib import closing
from pathlib import Path

import pytest

from graphdb import open_graph
from tests.ingest.conftest import Run
from tests.ingest.instaloader.written import Folder
from training.inputs.image_sources import ImageSources


@pytest.fixture
def crawl(tmp_path: Path) -> Path:
    """Two profiles, of which one has a post with a picture, a list, and a file that is not JSON."""
    folder = Folder(tmp_path / "crawl")
    folder.profile("ann", 1)
    folder.profile("bob", 2)
    folder.post("ann/1.json.xz")
    folder.text("ann/1.jpg", b"picture")
    folder.text("ann/followers.txt", "bob\ncem\n")
    folder.text("ann/broken.json", "{")
    return folder.path


@pytest.mark.usefixtures("defined")
def test_a_crawl_goes_into_the_graph_and_importing_it_again_changes_nothing(
    crawl: Path, home: Path, run: Run
) -> None:
    outcome = run("import", crawl)
    assert outcome.status == 0
    assert outcome.out.splitlines()[:2] == [
        "1 posts, 2 profiles, 1 lists of follows, 1 pictures and other files beside them",
        "skipped: 1 files that are not JSON (first: ann/broken.json: Input data was truncated)",
    ]
    assert outcome.last_line.startswith("6 events: 6 applied, 0 superseded, 0 dead letters, in ")
    status = json.loads(run("status", "--json").out)["graph"]
    assert (status["users"], status["posts"], status["follows"]) == (3, 1, 2)
    digest = run("digest").out

    document = json.loads(run("import", crawl, "--json").out)
    assert (document["events"], document["superseded"]) == (6, 6)
    assert document["files"] == {
        "posts": 1,
        "profiles": 2,
        "lists": 1,
        "beside": 1,
        "skipped": {"files that are not JSON": 1},
    }
    assert run("digest").out == digest


@pytest.mark.usefixtures("defined")
def test_a_file_of_events_gives_the_same_graph(
    crawl: Path, home: Path, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run("import", crawl)
    digest = run("digest").out
    events = crawl / "events.jsonl"
    outcome = run("import", crawl, "--to", events)
    assert (outcome.status, outcome.last_line) == (0, f"6 events written to {events}")
    monkeypatch.setenv("MMGA_HOME", str(tmp_path / "other"))
    assert run("ingest", "--events", events, "--no-statistics").status == 0
    assert run("digest").out == digest


@pytest.mark.usefixtures("defined")
def test_pictures_are_found_where_training_looks_for_them(
    crawl: Path, home: Path, run: Run
) -> None:
    assert run("import", crawl).status == 0
    with closing(open_graph(f"sqlite:///{home / 'graph.db'}", read_only=True)) as graph:
        images = [post.image for post in graph.posts_of(graph.user_ids()) if post.image]
    [image] = images
    assert ImageSources(media_root=None).read(image) == b"picture"


def test_the_same_file_may_be_written_again_but_no_other_replaced(
    crawl: Path, run: Run, tmp_path: Path
) -> None:
    events = tmp_path / "out" / "events.jsonl"
    first = run("import", crawl, "--to", events)
    assert first.status == 0
    assert f"MMGA_MEDIA_ROOT={crawl}" in first.err  # the file stands outside the crawl
    content = events.read_bytes()
    assert run("import", crawl, "--to", events).status == 0
    Folder(crawl).text("ann/following.txt", "dan\n")
    refused = run("import", crawl, "--to", events)
    assert refused.status == 1
    assert refused.err.splitlines()[-1].startswith(f"error: {events} holds something else already")
    assert events.read_bytes() == content
    assert [path.name for path in events.parent.iterdir()] == ["events.jsonl"]


@pytest.mark.usefixtures("defined")
def test_an_event_that_the_graph_refuses_is_a_dead_letter_of_its_file(
    crawl: Path, home: Path, run: Run
) -> None:
    caption = {"edges": [{"node": {"text": "x" * 70_000}}]}
    Folder(crawl).post("ann/2.json", shortcode="C2", edge_media_to_caption=caption)
    outcome = run("import", crawl)
    assert outcome.status == 0
    assert "1 dead letters" in outcome.last_line
    [letter] = json.loads(run("dead-letters", "list", "--json").out)
    assert letter["source"] == str(crawl / "ann/2.json")
    assert letter["reason"] == "caption is longer than 65536 bytes"


@pytest.mark.parametrize("to", [[], ["--to", "events.jsonl"]])
@pytest.mark.parametrize("content", [None, "{"])
def test_a_folder_without_a_crawl_is_one_line(
    to: list[str],
    content: str | None,
    tmp_path: Path,
    home: Path,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Folder(tmp_path / "crawl")
    folder.text("notes.csv")
    if content is not None:
        folder.text("ann/a.json", content)
    outcome = run("import", folder.path, *to)
    assert outcome.status == 1
    assert outcome.out == ""
    assert "skipped: 1 files of another kind (first: notes.csv)" in outcome.err.splitlines()
    last = outcome.err.splitlines()[-1]
    assert last.startswith(f"error: nothing to import at {folder.path}: ")
    assert not (tmp_path / "events.jsonl").exists()


def test_a_folder_that_is_missing_is_one_line(tmp_path: Path, home: Path, run: Run) -> None:
    outcome = run("import", tmp_path / "nothing")
    assert outcome.status == 1
    assert outcome.err == f"error: no crawl at {tmp_path / 'nothing'}: it is not a folder\n"
    assert not home.exists()
