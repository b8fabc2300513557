"""The counts of a real set."""

import json
import os
from pathlib import Path

import pytest

from graphdb import open_graph
from tests.ingest.conftest import REPOSITORY, Run

DATA = Path(os.environ.get("MMGA_DATA_DIR", REPOSITORY.parent / "shared/data")) / "congress"

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"no real data at {DATA}: set MMGA_DATA_DIR"),
]


def test_the_congress_set_is_counted_right(home: Path, run: Run) -> None:
    outcome = run("ingest", "--events", DATA / "events.jsonl")
    assert outcome.status == 0
    assert outcome.last_line.startswith("55,816 events")
    assert ", 0 dead letters" in outcome.last_line
    state = json.loads(run("status", "--json").out)
    del state["graph"]["version"]
    assert state["graph"] == {
        "users": 366,
        "posts": 22_050,
        "follows": 33_400,
        "mutual_follows": 8_772,
    }
    assert state["dead_letters"] == 0
    graph = open_graph(f"sqlite:///{home / 'graph.db'}", read_only=True)
    users = graph.user_ids()
    assert all(profile.username is not None for profile in graph.profiles(users))
    posts = graph.posts_of(users)
    assert len(posts) == 22_050
    images = [post.image for post in posts if post.image is not None]
    assert len(images) == 209
    assert all(image.startswith(f"{DATA.resolve()}/./") for image in images)
    graph.close()
    outcome = run("labels", "import", DATA / "labels.jsonl")
    assert outcome.last_line.startswith("366 events: 366 applied")
