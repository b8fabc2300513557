"""The statistics consumer: whatever happens, it ends where a projection from scratch would."""

import os
import shutil
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurestore import history_log
from featurestore.definitions import EVENT_TIME, GRAPH_VERSION, USER_ACTIVITY
from featurestore.errors import HistoryMissing
from featurestore.feast_adapter.registry import FeatureRegistry
from featurestore.history import History
from featurestore.online.open import open_online_store
from featurestore.online.store import OnlineStore
from featurestore.settings import FeatureStoreSettings
from foundation.watermark import Watermark
from graphdb import open_graph
from graphdb.consumer import PassReport
from graphdb.errors import StageBusy
from graphdb.statistics import STATISTICS, user_statistics
from graphdb.store import GraphStore
from ingest.statistics import projection as statistics
from ingest.statistics.consumer import StatisticsConsumer
from ingest.statistics.projection import STAGE
from tests.graphdb import made_facts as made
from tests.graphdb import strategies as facts
from tests.graphdb.oracle import GraphOracle, Memory
from tests.graphdb.specification import Fact

REPRESENTATION = "user_representation_g1"
any_fact = st.one_of(
    facts.profiles, facts.posts(), facts.engagements, facts.follows(), facts.deletions
)
steps = st.lists(
    st.tuples(st.lists(any_fact, min_size=1, max_size=5), st.sampled_from(["", "run", "trim"])),
    min_size=1,
    max_size=6,
)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> FeatureRegistry:
    """One registry for all homes, since Feast is slow to start and not what is tested here."""
    registry = FeatureRegistry(FeatureStoreSettings.at(tmp_path_factory.mktemp("registry")))
    registry.apply_statistics(STATISTICS)
    return registry


@pytest.fixture(scope="module")
def new_home(
    tmp_path_factory: pytest.TempPathFactory, registry: FeatureRegistry
) -> Callable[[], "Home"]:
    folder, numbers = tmp_path_factory.mktemp("homes"), count()
    return lambda: Home(folder / str(next(numbers)), registry)


@pytest.fixture
def home(new_home: Callable[[], "Home"]) -> Iterator["Home"]:
    home = new_home()
    yield home
    home.online.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a run did."""

    num_written: int
    num_appended: int
    num_deleted: int
    passes: list[PassReport]

    @property
    def rebuilt(self) -> bool:
        return any(each.rebuilt for each in self.passes)


class Home:
    """A home without a graph, and runs of the consumer on it."""

    def __init__(self, path: Path, registry: FeatureRegistry) -> None:
        self.settings = FeatureStoreSettings.at(path)
        self.registry = registry
        self.history = History(self.settings)
        self._online: OnlineStore | None = None

    @property
    def online(self) -> OnlineStore:
        if self._online is None:
            self._online = open_online_store(self.settings)
            self._record(self._online)
        return self._online

    def _record(self, online: OnlineStore) -> None:
        """Note each row that is served, behind its write."""
        write = online.write

        def recorded(view: str, user_ids: Any, features: Any, *, commit_time: int) -> int:
            num_written = write(view, user_ids, features, commit_time=commit_time)
            if view == USER_ACTIVITY and GRAPH_VERSION in features:
                versions = features[GRAPH_VERSION]
                with self._served.open("a") as file:
                    file.writelines(
                        f"{user} {version}\n"
                        for user, version in zip(user_ids, versions, strict=True)
                    )
            return num_written

        online.write = recorded  # type: ignore[method-assign]

    @property
    def _served(self) -> Path:
        return self.settings.home / "served"

    def served(self) -> set[tuple[str, int]]:
        """The users that were served, with the graph version of the row."""
        lines = self._served.read_text().splitlines() if self._served.exists() else []
        pairs = [text.rpartition(" ") for text in lines]
        return {(user, int(version)) for user, _, version in pairs}

    def consumer(self, graph: GraphStore) -> StatisticsConsumer:
        return StatisticsConsumer(
            graph, self.online, self.history, self.registry, home=self.settings.home
        )

    def run(self, graph: GraphStore) -> "Done":
        consumer = self.consumer(graph)
        passes = consumer.catch_up()
        report = consumer.projection.report
        return Done(
            num_written=report.num_written,
            num_appended=report.num_appended,
            num_deleted=report.num_deleted,
            passes=passes,
        )

    def kept(self) -> list[dict[str, Any]]:
        """All rows of the history, in one order."""
        try:
            rows = self.history.rows(USER_ACTIVITY).to_pylist()
        except HistoryMissing:
            rows = []
        return sorted(rows, key=lambda row: (row["user_id"], row["created"]))

    def tables(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every table of the online store, in one order."""
        with sqlite3.connect(self.settings.home / "online.db") as connection:
            names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            return {
                name: sorted(connection.execute(f'SELECT * FROM "{name}"').fetchall(), key=repr)
                for (name,) in names.fetchall()
            }


def assert_projected(home: Home, graph: GraphStore) -> None:
    """Online stand exactly the users that exist, with X as it is computed from scratch."""
    users = graph.user_ids()
    listed = [user for page in home.online.user_ids(USER_ACTIVITY) for user in page]
    assert sorted(listed) == sorted(users)
    rows = home.online.read(USER_ACTIVITY, users, STATISTICS)
    expected = user_statistics(graph.profiles(users), graph.posts_of(users))
    for column, name in enumerate(STATISTICS):
        found = rows.features[name].astype(np.float32)
        np.testing.assert_array_equal(found, expected[:, column], err_msg=name)
    head = graph.head()
    assert home.online.watermark(STAGE) == Watermark(
        graph_id=graph.graph_id, version=head.version, commit_time=head.commit_time
    )


@pytest.mark.parametrize("kind", ["oracle", "sqlite"])
@settings(max_examples=40)
@given(steps=steps, page=st.sampled_from([1, 2, 2_000]))
def test_any_feed_ends_like_a_projection_from_scratch(
    new_home: Callable[[], Home], kind: str, steps: list[tuple[list[Any], str]], page: int
) -> None:
    home = new_home()
    url = f"sqlite:///{home.settings.home / 'graph.db'}"
    graph: GraphStore = GraphOracle() if kind == "oracle" else open_graph(url)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "PAGE_USERS", page)
        for facts_of_batch, action in steps:
            graph.apply(made.batch_of(facts_of_batch))
            if action == "trim":
                graph.trim_changes(older_than=2**62, max_rows=0)
            if action:
                home.run(graph)
                assert_projected(home, graph)
        home.run(graph)
    assert_projected(home, graph)
    ids = [(row["user_id"], row["created"]) for row in home.kept()]
    assert len(ids) == len(set(ids))
    home.online.close()
    graph.close()


def network(*, users: int = 5) -> GraphOracle:
    graph = GraphOracle()
    profiles = [made.profile(f"user{number}", 1) for number in range(users)]
    posts = [
        made.post(f"p{number}", f"user{number % users}", number + 2, like_count=number)
        for number in range(12)
    ]
    graph.apply(made.batch_of([*profiles, *posts]))
    return graph


def test_only_who_changed_is_written_again(home: Home) -> None:
    graph = network()
    first = home.run(graph)
    assert (first.num_written, first.num_appended, first.rebuilt) == (5, 5, True)
    again = home.run(graph)
    assert (again.num_written, again.passes) == (0, [])
    graph.apply(made.batch_of([made.engagement("p3", 50, likes=7, comments=1)]))
    second = home.run(graph)
    assert (second.num_written, second.num_appended, second.rebuilt) == (1, 1, False)
    versions = home.online.read(USER_ACTIVITY, ["user3", "user4"], [GRAPH_VERSION])
    assert versions.features[GRAPH_VERSION].tolist() == [2, 1]


def test_nothing_at_all_is_not_a_version(home: Home) -> None:
    report = home.run(GraphOracle())
    assert (home.online.watermark(STAGE), report.passes, report.num_written) == (None, [], 0)


def test_a_deleted_user_leaves_every_view_and_may_come_back(home: Home) -> None:
    graph = network()
    home.run(graph)
    vectors = {"graph": np.ones((5, 3), np.float32)}
    users = graph.user_ids()
    home.online.write(REPRESENTATION, users, vectors, commit_time=graph.head().commit_time)
    graph.apply(made.batch_of([made.user_deletion("user1", 100)]))
    assert home.run(graph).num_deleted == 2
    assert_projected(home, graph)
    present = home.online.read(REPRESENTATION, users, ["graph"]).present
    assert present.tolist() == [user != "user1" for user in users]
    graph.apply(made.batch_of([made.profile("user1", 101)]))
    home.run(graph)
    assert_projected(home, graph)


def test_a_row_that_is_newer_than_the_head_outlives_a_deletion(home: Home) -> None:
    graph = network()
    home.run(graph)
    graph.apply(made.batch_of([made.user_deletion("user1", 100)]))
    later = {name: np.ones(1, np.float32) for name in STATISTICS}
    time = graph.head().commit_time + 1
    home.online.write(USER_ACTIVITY, ["user1"], later, commit_time=time)
    assert home.run(graph).num_deleted == 0
    assert home.online.read(USER_ACTIVITY, ["user1"], STATISTICS).present.all()


@pytest.mark.parametrize("reason", ["trimmed", "another graph", "beyond the head"])
def test_a_rebuild_deletes_whom_it_has_not_seen(home: Home, reason: str) -> None:
    graph = network()
    home.run(graph)
    if reason == "trimmed":
        graph.apply(made.batch_of([made.user_deletion("user1", 100)]))
        graph.trim_changes(older_than=2**62, max_rows=0)
        graph.apply(made.batch_of([made.profile("user7", 100)]))
    elif reason == "another graph":
        graph = network(users=3)
    else:
        graph.apply(made.batch_of([made.user_deletion("user1", 100)]))
        mark = Watermark(graph_id=graph.graph_id, version=9, commit_time=10**17)
        home.online.set_watermark(STAGE, mark)
    report = home.run(graph)
    assert report.rebuilt
    assert_projected(home, graph)


def test_the_history_tells_what_was_known_when(home: Home) -> None:
    graph = network()
    home.run(graph)
    first = graph.head().commit_time
    graph.apply(made.batch_of([made.post("late", "user0", 1_000, like_count=99)]))
    home.run(graph)
    graph.apply(made.batch_of([made.post_deletion("late", 2_000)]))
    home.run(graph)
    wanted = ["num_posts", "max_likes"]
    times = np.array([5, 999, 1_000, 10**17])
    now = home.history.as_of(USER_ACTIVITY, ["user0"] * 4, times, wanted)
    assert now.present.tolist() == [False, True, True, True]
    assert now.features["num_posts"].tolist()[1:] == [3, 3, 3]
    then = home.history.as_of(USER_ACTIVITY, ["user0"] * 4, times, wanted, known_by=first)
    assert then.features["max_likes"].tolist()[1:] == [10, 10, 10]
    assert then.commit_times.tolist() == [0, first, first, first]
    rows = [row for row in home.kept() if row["user_id"] == "user0"]
    assert [row["num_posts"] for row in rows] == [3, 4, 3]
    assert [row[EVENT_TIME] for row in rows] == [12, 1_000, 1_000]


def test_commits_during_a_run_are_caught_by_its_second_pass(home: Home) -> None:
    graph = network()

    def deletes_while_it_writes(done: int, total: int) -> None:
        if graph.head().version == 1:
            graph.apply(made.batch_of([made.user_deletion("user1", 100)]))

    home.consumer(graph).catch_up(deletes_while_it_writes)
    assert_projected(home, graph)


def test_who_listens_can_end_the_reading_of_the_feed_before_anything_is_written(
    home: Home,
) -> None:
    graph = network()
    home.run(graph)
    for number in range(3):
        graph.apply(made.batch_of([made.profile(f"new{number}", 50)]))
    heard = []

    def interrupt(done: int, total: int) -> None:
        heard.append((done, total))
        if total == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        home.consumer(graph).catch_up(interrupt)
    assert heard == [(0, 1), (0, 2)]
    home.run(graph)
    assert_projected(home, graph)


def test_a_second_consumer_is_told_who_runs_the_stage(home: Home) -> None:
    graph = network()
    with home.consumer(graph) as consumer:
        consumer.catch_up()
        refused: list[StageBusy] = []

        def second() -> None:
            try:
                home.run(graph)
            except StageBusy as error:
                refused.append(error)

        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
        assert f"process {os.getpid()}" in str(refused[0])
    home.run(graph)


# Crashes: a child process dies by SIGKILL before each SQL statement, or round each step of a file.


def dies_at(point: int, home: Home, graph: GraphOracle) -> bool:
    """Run the consumer in a child that is killed at its `point`-th step; False when it ended."""
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        steps, last = count(), ""

        def step(statement: str) -> None:
            nonlocal last
            kind, last = last, statement.partition("VALUES")[0]
            if kind != last and next(steps) == point:  # rows of one executemany are one step
                os.kill(os.getpid(), signal.SIGKILL)

        connect = sqlite3.connect

        def traced(*args: Any, **options: Any) -> sqlite3.Connection:
            connection: sqlite3.Connection = connect(*args, **options)
            connection.set_trace_callback(step)
            return connection

        def around(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
            def stepped(*args: Any, **options: Any) -> Any:
                step(f"before {name} {args}")
                result = function(*args, **options)
                step(f"after {name} {args}")
                return result

            return stepped

        sqlite3.connect = traced  # type: ignore[assignment]
        for name in ("fsync", "replace", "unlink"):
            setattr(os, name, around(name, getattr(os, name)))
        try:
            home.run(graph)
        except BaseException:  # or the child would go on as a second pytest
            os._exit(1)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert status in (0, signal.SIGKILL), status
    return status != 0


def prepare(home: Home, *, first: bool) -> Memory:
    """A graph to project: from nothing, or with changes and deletions since the last run."""
    graph = network()
    graph.apply(made.batch_of([made.follow("user0", "follower", 3)]))
    home.online.watermark(STAGE)
    if not first:
        home.run(graph)
        changes: list[Fact] = [
            made.user_deletion("user1", 100),
            made.profile("new", 100),
            made.engagement("p2", 50, likes=7, comments=1),
        ]
        graph.apply(made.batch_of(changes))
    home.online.close()
    return graph.memory


@pytest.mark.slow
@pytest.mark.parametrize("first", [True, False], ids=["from scratch", "from the feed"])
def test_killed_anywhere_it_ends_like_an_undisturbed_run(
    new_home: Callable[[], Home], monkeypatch: pytest.MonkeyPatch, first: bool
) -> None:
    monkeypatch.setattr(statistics, "PAGE_USERS", 4)
    monkeypatch.setattr(history_log, "COMPACT_BYTES", 0)
    start = new_home()
    memory = prepare(start, first=first)

    def fresh_home() -> Home:
        home = new_home()
        shutil.copytree(start.settings.home, home.settings.home)
        return home

    calm = fresh_home()
    calm.run(GraphOracle(memory))
    calm.online.close()
    expected, kept = calm.tables(), calm.kept()
    for point in count():
        home, graph = fresh_home(), GraphOracle(deepcopy(memory))
        killed = dies_at(point, home, graph)
        home.run(graph)
        assert home.tables() == expected
        assert home.kept() == kept
        assert_projected(home, graph)
        # The same, when the graph had moved on before the consumer came back.
        home, graph = fresh_home(), GraphOracle(deepcopy(memory))
        dies_at(point, home, graph)
        graph.apply(made.batch_of([made.user_deletion("user2", 200), made.profile("x", 201)]))
        home.run(graph)
        assert_projected(home, graph)
        rows = [(row["user_id"], row[GRAPH_VERSION]) for row in home.kept()]
        assert len(rows) == len(set(rows))
        assert set(rows) == home.served()
        if not killed:
            break
    assert point >= 40
