"""The skeleton of a stage, shown on a toy: the number of followers of each user."""

import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation import outage
from foundation.watermark import Watermark
from graphdb.consumer import FROM_SCRATCH, FeedConsumer, Pass, PassReport
from graphdb.errors import GraphUnreachable, StageBusy
from graphdb.store import Change
from tests.graphdb import made_facts as made
from tests.graphdb import strategies as facts
from tests.graphdb.oracle import GraphOracle
from tests.graphdb.test_stage import HOLDER


class StoreAway(Exception):
    """The toy's own store does not answer."""


class Ended(Exception):
    """Who listens has had enough."""


@dataclass
class Shelf:
    """What survives a crash; each write is a step that a test may fail."""

    counts: dict[str, int] = field(default_factory=dict)
    mark: Watermark | None = None
    log: list[str] = field(default_factory=list)
    num_left: int = 0
    step: Callable[[str], None] = lambda name: None

    def write(self, name: str) -> None:
        self.step(name)
        self.log.append(name)


class FollowerCounts:
    """A projection: users with followers, and how many."""

    def __init__(self, graph: GraphOracle, shelf: Shelf, *, page: int = 2) -> None:
        self.graph, self.shelf, self.page = graph, shelf, page
        self.steps: list[Pass] = []

    def watermark(self) -> Watermark | None:
        return self.shelf.mark

    def set_watermark(self, watermark: Watermark) -> None:
        self.shelf.write(f"mark {watermark.version}")
        self.shelf.mark = watermark

    def keys(self, change: Change) -> Iterable[str]:
        yield from change.users
        for follower, followee, _ in change.follows:
            yield from (follower, followee)

    def project(self, keys: Sequence[str], step: Pass) -> None:
        self.steps.append(step)
        for page in step.pages(keys, self.page):
            self.shelf.write(f"rows {step.head.version}")
            for user in page:
                count = len(self.graph.neighbours(user, "followers"))
                self.shelf.counts.pop(user, None)
                if count:
                    self.shelf.counts[user] = count

    def rebuild(self, step: Pass) -> int:
        users = self.graph.user_ids()
        self.project(users, step)
        self.shelf.write("others")
        for user in set(self.shelf.counts) - set(users):
            del self.shelf.counts[user]
        return len(users)

    def leave(self) -> None:
        self.shelf.num_left += 1


def expected(graph: GraphOracle) -> dict[str, int]:
    counts = {user: len(graph.neighbours(user, "followers")) for user in graph.user_ids()}
    return {user: count for user, count in counts.items() if count}


def consumer(graph: GraphOracle, shelf: Shelf, home: Path, **options: Any) -> FeedConsumer:
    return FeedConsumer(
        "toy", graph, FollowerCounts(graph, shelf), home=home, passing=(StoreAway,), **options
    )


def assert_current(graph: GraphOracle, shelf: Shelf) -> None:
    head = graph.head()
    assert shelf.counts == expected(graph)
    assert shelf.mark == Watermark(
        graph_id=graph.graph_id, version=head.version, commit_time=head.commit_time
    )


def network() -> GraphOracle:
    graph = GraphOracle()
    graph.apply(made.batch_of([made.follow(f"a{n}", "b", n + 1) for n in range(3)]))
    return graph


steps = st.lists(
    st.tuples(
        st.lists(st.one_of(facts.profiles, facts.follows(), facts.deletions), min_size=1),
        st.sampled_from(["", "run", "crash", "trim"]),
        st.integers(0, 4),
    ),
    min_size=1,
    max_size=6,
)


@given(steps=steps)
def test_any_feed_and_any_crash_end_like_a_projection_from_scratch(
    steps: list[tuple[list[Any], str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    graph, shelf, home = GraphOracle(), Shelf(), tmp_path_factory.mktemp("home")
    for batch, action, point in steps:
        graph.apply(made.batch_of(batch))
        if action == "trim":
            graph.trim_changes(older_than=2**62, max_rows=0)
        if action == "crash":
            shelf.step = dies_at(point)
        try:
            if action:
                consumer(graph, shelf, home).catch_up()
                assert_current(graph, shelf)
        except Ended:
            pass
        shelf.step = lambda name: None
    consumer(graph, shelf, home).catch_up()
    assert_current(graph, shelf)


def dies_at(point: int) -> Callable[[str], None]:
    numbers = iter(range(point + 1))

    def step(name: str) -> None:
        if next(numbers, point) == point:
            raise Ended

    return step


def test_the_watermark_is_last(tmp_path: Path) -> None:
    graph, shelf = network(), Shelf()
    consumer(graph, shelf, tmp_path).catch_up()
    assert shelf.log == ["rows 1", "rows 1", "others", "mark 1"]
    graph.apply(made.batch_of([made.follow("a0", "c", 9)]))
    consumer(graph, shelf, tmp_path).catch_up()
    assert shelf.log[4:] == ["rows 2", "mark 2"]


def test_a_pass_takes_what_changed_up_to_the_head_that_it_read_first(tmp_path: Path) -> None:
    graph, shelf = network(), Shelf()
    reports: list[PassReport] = []
    feed = consumer(graph, shelf, tmp_path, observer=reports.append)
    graph.apply(made.batch_of([made.follow("x", "y", 1)]))
    assert feed.catch_up() == reports
    assert [(each.num_keys, each.rebuilt) for each in reports] == [(6, True)]
    graph.apply(made.batch_of([made.follow("x", "z", 2)]))
    graph.apply(made.batch_of([made.follow("a9", "b", 1)]))
    feed.catch_up()
    assert [(each.num_keys, each.rebuilt) for each in reports[1:]] == [(4, False)]
    assert reports[-1].watermark == shelf.mark
    assert feed.catch_up() == []


def test_what_is_committed_meanwhile_is_caught_by_a_second_pass(tmp_path: Path) -> None:
    graph, shelf = network(), Shelf()

    def deletes(done: int, total: int) -> None:
        if graph.head().version == 1:
            graph.apply(made.batch_of([made.user_deletion("b", 100)]))

    assert len(consumer(graph, shelf, tmp_path).catch_up(deletes)) == 2
    assert_current(graph, shelf)


@pytest.mark.parametrize("reason", ["trimmed", "another graph", "beyond the head"])
def test_where_the_feed_cannot_say_all_is_derived_anew(tmp_path: Path, reason: str) -> None:
    graph, shelf = network(), Shelf()
    consumer(graph, shelf, tmp_path).catch_up()
    graph.apply(made.batch_of([made.user_deletion("b", 100)]))
    if reason == "trimmed":
        graph.trim_changes(older_than=2**62, max_rows=0)
    elif reason == "another graph":
        graph = GraphOracle()
        graph.apply(made.batch_of([made.follow("x", "y", 1)]))
    else:
        shelf.mark = Watermark(graph_id=graph.graph_id, version=9, commit_time=1)
    [report] = consumer(graph, shelf, tmp_path).catch_up()
    assert report.rebuilt
    assert_current(graph, shelf)


def test_an_empty_graph_is_not_a_version(tmp_path: Path) -> None:
    shelf = Shelf()
    assert consumer(GraphOracle(), shelf, tmp_path).catch_up() == []
    assert (shelf.mark, shelf.log) == (None, [])


def test_who_listens_ends_a_pass_between_two_pages(tmp_path: Path) -> None:
    graph, shelf = network(), Shelf()

    def end(done: int, total: int) -> None:
        assert (done, total) == (2, 4)
        raise Ended

    with pytest.raises(Ended):
        consumer(graph, shelf, tmp_path).catch_up(end)
    assert (shelf.log, shelf.mark) == (["rows 1"], None)


# Following: a clock that counts what was slept, and ends it.


class Clock:
    """Sleeps at once; what a test plans happens in between, and then it ends."""

    def __init__(self, *plans: Callable[[], object]) -> None:
        self.plans: Iterator[Callable[[], object]] = iter(plans)
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        plan = next(self.plans, None)
        if plan is None:
            raise Ended
        plan()


def follow(feed: FeedConsumer, clock: Clock) -> list[str]:
    notes: list[str] = []
    with pytest.raises(Ended):
        feed.follow(interval_seconds=5.0, sleep=clock.sleep, note=notes.append)
    return notes


def test_a_follower_sleeps_while_nothing_comes(tmp_path: Path) -> None:
    graph, shelf = network(), Shelf()
    clock = Clock(
        lambda: None,
        lambda: graph.apply(made.batch_of([made.follow("a0", "c", 9)])),
    )
    assert follow(consumer(graph, shelf, tmp_path), clock) == []
    assert_current(graph, shelf)
    assert shelf.log.count("rows 2") == 1
    assert all(0 < seconds <= 5 for seconds in clock.slept)


@pytest.mark.parametrize("error", [StoreAway, GraphUnreachable])
def test_a_server_that_does_not_answer_is_waited_for(
    tmp_path: Path, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outage, "FIRST_WAIT_SECONDS", 0.25)
    graph, shelf = network(), Shelf()

    def away(name: str) -> None:
        if name.startswith("mark") and len(shelf.log) < 8:
            raise error("nobody answers")

    shelf.step = away
    notes = follow(consumer(graph, shelf, tmp_path), clock := Clock(*[lambda: None] * 2))
    assert notes[0] == "waiting: nobody answers"
    assert notes[1].startswith("going on after")
    assert clock.slept[:2] == [0.25, 0.5]
    assert_current(graph, shelf)


def test_any_other_error_ends_it(tmp_path: Path) -> None:
    shelf = Shelf(step=dies_at(1))
    with pytest.raises(Ended):
        consumer(network(), shelf, tmp_path).follow(
            interval_seconds=1, sleep=lambda seconds: pytest.fail("waited"), note=print
        )
    assert shelf.mark is None


def test_a_stage_of_another_process_is_left_to_it_and_taken_over(tmp_path: Path) -> None:
    graph, shelf = network(), Shelf()
    feed = consumer(graph, shelf, tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER.replace('"ingest"', '"toy"'), str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StageBusy):
            feed.catch_up()

        def dies() -> None:
            assert shelf.log == []
            holder.kill()
            holder.wait()

        [note] = follow(feed, Clock(lambda: None, dies))
        assert note.startswith("toy: left to another process (toy already runs")
        assert str(holder.pid) in note
    assert_current(graph, shelf)


def test_while_it_is_entered_nobody_else_runs_the_stage(tmp_path: Path) -> None:
    graph, shelf = network(), Shelf()
    with consumer(graph, shelf, tmp_path) as feed:
        feed.catch_up()
        follow(feed, Clock())
        assert shelf.num_left == 0
        with pytest.raises(StageBusy):
            consumer(graph, shelf, tmp_path).catch_up()
    assert shelf.num_left == 1
    consumer(graph, shelf, tmp_path).catch_up()
    assert shelf.num_left == 2


def test_a_pass_knows_where_it_starts(tmp_path: Path) -> None:
    graph, shelf = network(), Shelf()
    counts = FollowerCounts(graph, shelf)
    feed = FeedConsumer("toy", graph, counts, home=tmp_path)
    feed.catch_up()
    graph.apply(made.batch_of([made.follow("a0", "c", 9)]))
    feed.catch_up()
    assert [(step.since, step.head.version) for step in counts.steps] == [(FROM_SCRATCH, 1), (1, 2)]
