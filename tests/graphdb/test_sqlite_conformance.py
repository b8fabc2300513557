"""The embedded store meets the contract, also when several handles share its file."""

import contextlib
import multiprocessing
import sqlite3
from collections.abc import Iterator
from multiprocessing.synchronize import Barrier
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graphdb import open_graph
from graphdb.errors import GraphError, GraphUnavailable, PositionConflict
from graphdb.store import GraphStore
from tests.graphdb.conformance import GraphStoreConformance
from tests.graphdb.deletion_rules import DeletionRules
from tests.graphdb.feed_rules import FeedRules, TrimRules
from tests.graphdb.made_facts import (
    batch_of,
    engagement,
    follow,
    label,
    move,
    post,
    post_deletion,
    profile,
    unfollow,
    user_deletion,
)
from tests.graphdb.mirror import Mirror, read_state
from tests.graphdb.orders import OpenStore
from tests.graphdb.specification import Fact, digest, graph_state
from tests.graphdb.strategies import cut, facts


def open_at(path: Path) -> GraphStore:
    return open_graph(f"sqlite:///{path}")


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[OpenStore]:
    opened: list[GraphStore] = []

    def open_store(name: str) -> GraphStore:
        opened.append(open_at(tmp_path / f"{name}.db"))
        return opened[-1]

    yield open_store
    for store in opened:
        store.close()


class TestSqlite(GraphStoreConformance):
    """All rules, on a file."""

    @pytest.fixture
    def open_store(self, open_store: OpenStore) -> OpenStore:
        return open_store


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Follows move between levels, and reads and trims take steps, all the time."""
    monkeypatch.setattr("graphdb.sqlite.store.MAX_RECENT_FOLLOWS", 2)
    monkeypatch.setattr("graphdb.sqlite.store.FOLLOWS_A_MERGE", 2)
    monkeypatch.setattr("graphdb.sqlite.follows.FOLLOWS_A_MERGE", 2)
    monkeypatch.setattr("graphdb.sqlite.feed.COMMITS_A_READ", 2)
    monkeypatch.setattr("graphdb.sqlite.feed.VERSIONS_A_TRIM", 2)
    monkeypatch.setattr("graphdb.sqlite.store.MAX_CACHED_USERS", 1)


@pytest.mark.usefixtures("small_limits")
class TestSqliteWithSmallLimits(DeletionRules, FeedRules, TrimRules):
    """The rules that those limits could break."""

    @pytest.fixture
    def store(self, open_store: OpenStore) -> GraphStore:
        return open_store("graph")


FUNCTION_FIXTURES = [HealthCheck.function_scoped_fixture]


def assert_any_order_means_the_same(
    path: Path, said: list[Fact], random: Random, cuts: list[int]
) -> None:
    shuffled = [*said, *said[::3]]
    random.shuffle(shuffled)
    store = open_at(path)
    mirror = Mirror(store)
    for batch in cut(shuffled, cuts):
        store.apply(batch_of(batch))
    expected = graph_state(said)
    assert read_state(store) == expected
    assert store.digest() == digest(expected)
    mirror.catch_up(store)
    mirror.assert_equal(expected)
    store.close()


many_facts = st.lists(facts, max_size=25)
cuts = st.lists(st.integers(0, 50), max_size=5)


@settings(max_examples=100)
@given(many_facts, st.randoms(use_true_random=False), cuts)
def test_any_order_and_partition_of_facts_means_the_same(
    tmp_path_factory: pytest.TempPathFactory, said: list[Fact], random: Random, cuts: list[int]
) -> None:
    path = tmp_path_factory.mktemp("graph") / "graph.db"
    assert_any_order_means_the_same(path, said, random, cuts)


@pytest.mark.usefixtures("small_limits")
@settings(max_examples=100, suppress_health_check=FUNCTION_FIXTURES)
@given(many_facts, st.randoms(use_true_random=False), cuts)
def test_facts_mean_the_same_where_every_deletion_is_a_big_one(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
    said: list[Fact],
    random: Random,
    cuts: list[int],
) -> None:
    """Its facts go ahead of the batch in transactions of two."""
    monkeypatch.setattr("graphdb.sqlite.deletions.FACTS_A_TRANSACTION", 2)
    path = tmp_path_factory.mktemp("graph") / "graph.db"
    assert_any_order_means_the_same(path, said, random, cuts)


def test_a_reader_sees_what_another_handle_commits(tmp_path: Path) -> None:
    writer = open_at(tmp_path / "graph.db")
    writer.apply(batch_of([profile("ann", 1)]))
    reader = open_graph(f"sqlite:///{tmp_path / 'graph.db'}", read_only=True)
    mirror = Mirror(reader)
    writer.apply(batch_of([follow("ann", "bob", 2), post("p", "ann", 2)], [move(None, 5)]))
    mirror.catch_up(reader)
    mirror.assert_equal(read_state(writer))
    assert reader.digest() == writer.digest()
    assert (reader.head(), reader.positions()) == (writer.head(), writer.positions())
    reader.close()
    writer.close()


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    writer = open_at(tmp_path / "graph.db")
    reader = open_graph(f"sqlite:///{tmp_path / 'graph.db'}", read_only=True)
    with pytest.raises(GraphUnavailable):
        reader.apply(batch_of([profile("ann", 1)]))
    with pytest.raises(GraphUnavailable):
        reader.set_positions([])
    with pytest.raises(GraphUnavailable):
        reader.erase("ann")
    assert writer.head().version == 0
    reader.close()
    writer.close()


def test_a_reader_needs_no_writer(tmp_path: Path) -> None:
    writer = open_at(tmp_path / "graph.db")
    writer.apply(batch_of([follow("ann", "bob", 2)]))
    expected = writer.digest()
    writer.close()
    for _ in range(2):
        reader = open_graph(f"sqlite:///{tmp_path / 'graph.db'}", read_only=True)
        assert reader.digest() == expected
        reader.close()


def test_a_batch_that_fails_in_the_midst_leaves_nothing_behind(tmp_path: Path) -> None:
    """Neither in the file nor in what the writer remembers of it."""
    store = open_at(tmp_path / "graph.db")
    store.apply(batch_of([profile("ann", 1), post("q", "zoe", 1, mentions=["stub"])]))
    before = (store.head(), store.digest())
    facts: list[Fact] = [
        follow("bob", "ann", 2),
        profile("stub", 2),
        user_deletion("ann", 1),
        post_deletion("q", 5),
    ]
    with pytest.raises(OverflowError):
        store.apply(batch_of([*facts, post("p", "eve", 2, like_count=2**70)], [move(None, 9)]))
    assert (store.head(), store.digest(), store.positions()) == (*before, [])
    said: list[Fact] = [follow("bob", "eve", 3), post("q", "zoe", 4), profile("ann", 1)]
    store.apply(batch_of([*said, follow("stub", "eve", 3)]))
    assert store.user_ids() == ["ann", "bob", "eve", "stub", "zoe"]
    assert store.neighbours("eve", "followers") == ["bob", "stub"]
    assert [found.time for found in store.posts(["q"])] == [4]
    store.close()


def test_nothing_in_the_file_names_an_erased_user(tmp_path: Path) -> None:
    """Only the feed does, until it is trimmed; tombstones hold keyed hashes."""
    store = open_at(tmp_path / "graph.db")
    facts: list[Fact] = [
        profile("secret", 3),
        follow("secret", "bob", 3),
        unfollow("bob", "secret", 3),
        post("secret post", "secret", 3),
        engagement("secret post", 4, likes=1, comments=1),
        post("p", "bob", 3, mentions=["secret"]),
        label("user", "secret", 3, "a"),
        label("post", "secret post", 3, "a"),
        label("user", "secret", 3, task="mood"),
    ]
    store.apply(batch_of(facts))
    store.erase("secret")
    store.apply(batch_of(facts))
    store.trim_changes(older_than=0, max_rows=0)
    store.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "graph.db")) as connection:
        rows = "\n".join(connection.iterdump())
    assert "bob" in rows
    assert "secret" not in rows


def test_what_cannot_be_opened_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(GraphUnavailable):
        open_graph(f"sqlite:///{tmp_path / 'absent.db'}", read_only=True)
    (tmp_path / "text.db").write_text("this is no database, and longer than a header of one" * 99)
    with pytest.raises(GraphUnavailable, match=r"text\.db"):
        open_at(tmp_path / "text.db")
    with pytest.raises(GraphUnavailable):
        open_at(tmp_path / "text.db" / "graph.db")
    with pytest.raises(GraphError):
        open_graph("mysql://host/graph")


def _apply_all(path: Path, batches: list[list[Fact]], barrier: Barrier) -> None:
    barrier.wait()
    store = open_at(path)
    for batch in batches:
        store.apply(batch_of(batch))
    store.close()


def _claim(path: Path, barrier: Barrier, name: str) -> None:
    store = open_at(path)
    barrier.wait()
    for offset in range(20):
        try:
            store.apply(batch_of([profile(f"{name} {offset}", 1)], [move(offset, offset + 1)]))
        except PositionConflict:
            continue
    store.close()


def _run(*processes: multiprocessing.context.SpawnProcess) -> None:
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0


def test_two_writers_lose_nothing_and_never_fail(tmp_path: Path) -> None:
    """Both begin by creating the database."""
    spawn = multiprocessing.get_context("spawn")
    random = Random(5)
    users = [f"user {number}" for number in range(30)]
    pairs = [random.sample(users, 2) for _ in range(600)]
    said: list[Fact] = [
        follow(follower, followee, random.randrange(50), live=random.random() < 0.7)
        for follower, followee in pairs
    ]
    said += [user_deletion(random.choice(users), random.randrange(50)) for _ in range(20)]
    random.shuffle(said)
    batches = [said[start : start + 10] for start in range(0, len(said), 10)]
    barrier = spawn.Barrier(2)
    path = tmp_path / "graph.db"
    shares = (batches[::2], batches[1::2])
    _run(*(spawn.Process(target=_apply_all, args=(path, own, barrier)) for own in shares))
    store = open_at(path)
    assert store.head().version == len(batches)
    assert store.digest() == digest(graph_state(said))
    times = [change.commit_time for change in store.changes(0)]
    assert times == sorted(set(times))
    store.close()


def test_of_two_writers_that_expect_one_position_one_wins(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(2)
    path = tmp_path / "graph.db"
    store = open_at(path)
    store.apply(batch_of([], [move(None, 0)]))
    _run(*(spawn.Process(target=_claim, args=(path, barrier, name)) for name in "ab"))
    assert [position.offset for position in store.positions()] == [20]
    assert store.head().version == 21
    winners = [user_id.split()[1] for user_id in store.user_ids()]
    assert sorted(winners, key=int) == [str(offset) for offset in range(20)]
    store.close()
