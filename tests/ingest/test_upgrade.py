"""`mmga upgrade` on a home that format 1 has left, beside a fresh one of the same events."""

from pathlib import Path

import pytest

from graphdb import open_graph
from graphdb.store import Change
from tests.graphdb import format_1
from tests.graphdb.made_facts import (
    batch_of,
    engagement,
    label,
    post,
    post_deletion,
    user_deletion,
)
from tests.graphdb.mirror import read_state
from tests.graphdb.specification import Fact, GraphState
from tests.ingest.conftest import Run

LATER = 1_790_000_000_000_000
NEXT: list[Fact] = [
    post("p1", "ann", LATER, mentions=["cem"]),
    post("p9", "dov", LATER, mentions=["yan"]),
    post("p2", "ann", LATER),
    engagement("p3", LATER, likes=1, comments=1),
    label("post", "p5", LATER, "calm"),
    label("post", "p8", LATER, "calm"),
    post_deletion("p5", LATER - 1),
    user_deletion("bob", LATER - 1),
]
"""A batch that speaks of all that the graph of format 1 holds."""


@pytest.fixture
def old_home(home: Path) -> Path:
    """A home of format 1."""
    home.mkdir()
    format_1.restore(home / "graph.db")
    return home


def goes_on(home: Path) -> tuple[GraphState, Change, str]:
    """The state, what the feed tells of the next batch, and the digest after it."""
    store = open_graph(f"sqlite:///{home / 'graph.db'}")
    state, head = read_state(store), store.head().version
    store.apply(batch_of(NEXT))
    (change,) = store.changes(head)
    digest = store.digest()
    store.close()
    return state, change, digest


def keys(change: Change) -> tuple[set[object], ...]:
    return set(change.users), set(change.posts), set(change.follows), set(change.labels)


@pytest.mark.parametrize("command", [["digest"], ["status"], ["ingest", "--no-statistics"]])
def test_other_commands_name_the_upgrade(old_home: Path, run: Run, command: list[str]) -> None:
    events = ["--events", str(format_1.EVENTS)] if "ingest" in command else []
    refused = run(*command, *events)
    assert refused.status == 1
    assert refused.err.splitlines()[-1].endswith(
        "has format 1, this software reads 2: run `mmga upgrade`"
    )


def test_an_upgraded_home_goes_on_as_a_fresh_one(
    old_home: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("upgrade").last_line.endswith("graph.db: now of format 2")
    assert run("upgrade").last_line.endswith("graph.db: nothing to upgrade")
    assert run("digest").last_line == format_1.DIGEST
    fresh = tmp_path / "fresh"
    monkeypatch.setenv("MMGA_HOME", str(fresh))
    monkeypatch.setenv("MMGA_MEDIA_ROOT", format_1.MEDIA_ROOT)
    run("ingest", "--no-statistics", "--batch-size", "4", "--events", format_1.EVENTS)
    (state, change, digest), (other_state, other_change, other_digest) = map(
        goes_on, (old_home, fresh)
    )
    assert state == other_state
    assert keys(change) == keys(other_change)
    assert digest == other_digest


def test_without_a_graph_there_is_nothing_to_upgrade(home: Path, run: Run) -> None:
    refused = run("upgrade")
    assert refused.status == 1
    assert "there is no graph at" in refused.err
