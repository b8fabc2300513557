"""Graphs of older formats: refused by all but the upgrade, which may be killed anywhere."""

from itertools import count
from pathlib import Path

import pytest

from foundation.format_version import GRAPH
from graphdb import open_graph, upgrade_graph
from graphdb.errors import ChangesTrimmed, FormatRefused, GraphUnavailable
from graphdb.neo4j import feed as neo4j_feed
from graphdb.sqlite import feed as sqlite_feed
from graphdb.store import GraphStore, PostChange
from tests.graphdb import format_1
from tests.graphdb.killed import in_child_killed_at
from tests.graphdb.made_facts import batch_of, post
from tests.graphdb.neo4j_database import TestDatabase

AS_FORMAT_1 = """
MATCH (c:Change)
REMOVE c.content_changed, c.num_mentioned, c.mentioned, c.label_authors
WITH count(*) AS num_changes
MATCH (m:Meta {id: 0}) SET m.format_version = 1
RETURN num_changes"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The graph that format 1 has left."""
    format_1.restore(tmp_path / "graph.db")
    return tmp_path / "graph.db"


def url_of(path: Path) -> str:
    return f"sqlite:///{path}"


def upgraded(url: str) -> GraphStore:
    assert list(upgrade_graph(url)) in ([], [GRAPH.version])
    return open_graph(url)


def assert_feed_begins_at(store: GraphStore, head: int) -> None:
    assert list(store.changes(head)) == []
    for since in range(head):
        with pytest.raises(ChangesTrimmed):
            list(store.changes(since))


@pytest.mark.parametrize("read_only", [True, False])
def test_an_older_graph_is_refused_in_one_line_that_names_the_upgrade(
    path: Path, read_only: bool
) -> None:
    before = path.read_bytes()
    with pytest.raises(FormatRefused, match=r"^graph .* has format 1, .* 2: run `mmga upgrade`$"):
        open_graph(url_of(path), read_only=read_only)
    assert path.read_bytes()[100:] == before[100:], "only the header names the journal's mode"


def test_an_upgraded_graph_is_what_it_was(path: Path) -> None:
    store = upgraded(url_of(path))
    assert store.digest() == format_1.DIGEST
    assert store.head().version == format_1.HEAD
    assert [position.source for position in store.positions()] == ["/events/events.jsonl"]
    assert_feed_begins_at(store, format_1.HEAD)
    store.close()


def test_an_upgrade_may_be_killed_anywhere(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_feed, "VERSIONS_A_TRIM", 2)
    for num_statements in count(1):
        format_1.restore(path)
        ended = in_child_killed_at(num_statements, lambda: list(upgrade_graph(url_of(path))))
        store = upgraded(url_of(path))
        assert store.digest() == format_1.DIGEST
        assert_feed_begins_at(store, format_1.HEAD)
        store.close()
        if ended:
            break
    assert num_statements > 20


def test_what_is_current_newer_or_absent_stays_as_it_is(tmp_path: Path) -> None:
    url = url_of(tmp_path / "graph.db")
    with pytest.raises(GraphUnavailable, match="there is no graph"):
        list(upgrade_graph(url))
    assert list(tmp_path.iterdir()) == []
    store = open_graph(url)
    store.apply(batch_of([post("p", "ann", 1)]))
    assert list(upgrade_graph(url)) == []
    assert len(list(store.changes(0))) == 1
    store.close()


def test_a_graph_on_a_server_is_upgraded_and_may_be_killed_anywhere(
    database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neo4j_feed, "VERSIONS_A_TRIM", 2)
    store = database.open()
    for number in range(5):
        store.apply(batch_of([post(f"p{number}", "ann", 1, mentions=["bob"])]))
    digest = store.digest()
    for num_statements in count(1):
        store.apply(batch_of([]))
        assert database.rows(AS_FORMAT_1) != [[0]]
        with pytest.raises(FormatRefused, match="run `mmga upgrade`"):
            open_graph(database.url)
        ended = in_child_killed_at(num_statements, lambda: list(upgrade_graph(database.url)))
        assert list(upgrade_graph(database.url)) in ([], [GRAPH.version])
        assert list(upgrade_graph(database.url)) == []
        assert_feed_begins_at(store, store.head().version)
        assert store.digest() == digest
        if ended:
            break
    assert num_statements > 4
    store.apply(batch_of([post("p0", "ann", 2)]))
    (change,) = store.changes(store.head().version - 1)
    assert list(change.posts) == [PostChange("p0", "ann", True, ("bob",))]
