"""Follows a second after two minutes without the Neo4j server, against a run that had none.

Input and worker as in `benchmarks.stream.from_kafka`, with twice as many events. When a third of
them is committed the server is stopped in good order, and started again after 120 s
(MMGA_BENCH_OUTAGE_SECONDS); the one worker is never touched. At the end the graph holds the same
pairs as without an outage, and there is no dead letter: a connector that retries for a minute has
lost valid events to its dead letters by then.

What is asked for is the usual rate, at least 0.9 of it, in two ways. A server that was just started
is cold and slower, whoever sends; so all events after the outage are compared with the same events
sent by a worker that was ended before the server was stopped and started, and began after it: that
is the rate of such a server without an outage. And the last half of the events is compared with the
same worker over the same events on a server that stayed up.
"""

import os
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Row, compare
from benchmarks.stream.event_stream import OURS
from benchmarks.stream.follow_stream import CLEAN, NUM_EVENTS, FollowStream, follow_stream
from benchmarks.stream.turn import Timeline, turn
from graphdb import open_graph
from ingest.dead_letters.open import open_dead_letters
from ingest.settings import IngestSettings

SECONDS = float(os.environ.get("MMGA_BENCH_OUTAGE_SECONDS", "120"))
RECOVERY_SECONDS = 180.0
QUICK = {"num_events": 40_000, "seconds": 3.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupted:
    """A run with an outage: how much was committed before it, and when the server answered again.

    All commits before the answer belong to the time before the outage.
    """

    timeline: Timeline
    num_before: int
    answered: float

    @property
    def seconds_to_go_on(self) -> float:
        """From the server's first answer to the next commit."""
        return self.timeline.at(self.num_before + 1) - self.answered


def run(num_events: int = 2 * NUM_EVENTS, seconds: float = SECONDS) -> list[Row]:
    """A run on a server that stays up, one on a server just started, one with an outage."""
    with tempfile.TemporaryDirectory() as folder, follow_stream(Path(folder), num_events) as stream:
        stream.make(CLEAN)
        tell(f"warm-up: {stream.ours(CLEAN):,.0f}")
        stream.empty()
        usual = stream.time([[OURS]], CLEAN, num_workers=1)
        stream.check(CLEAN)
        tell(f"without an outage: {usual.rate:,.0f}")
        cold = after_a_restart(stream, num_events // 3)
        stream.check(CLEAN)
        tell(f"on a server that was just started: {cold.rate:,.0f}")
        broken = interrupted(stream, num_events // 3, seconds)
        stream.check(CLEAN)
        check_no_dead_letter(stream)
    return rows(usual, cold, broken, num_events, seconds)


def tell(message: str) -> None:
    """Say on stderr how far it is."""
    print(f"  {message}", file=sys.stderr)


def interrupted(stream: FollowStream, after: int, seconds: float) -> Interrupted:
    """A turn of our worker, in which the server is gone for a while after so many events."""
    stream.empty()
    with turn([[OURS]], stream.environ(CLEAN), stream.log) as running:
        running.wait_until_ready()
        running.go()
        running.hear(after)
        tell(f"stopping the server for {seconds:.0f} s")
        stream.neo4j.stop()
        time.sleep(seconds)
        stream.neo4j.start()
        answered = time.monotonic()
        tell("the server answers again")
        timeline = running.hear(stream.num_events, RECOVERY_SECONDS)
    num_before = sum(num for num, at in timeline.commits if at < answered)
    return Interrupted(timeline=timeline, num_before=num_before, answered=answered)


def after_a_restart(stream: FollowStream, after: int) -> Timeline:
    """What a new worker does with the rest of the events, when one has ended after so many."""
    stream.empty()
    stream.time([[OURS]], CLEAN, num_events=after, num_workers=1)
    stream.neo4j.stop()
    stream.neo4j.start()
    with closing(open_graph(stream.neo4j.url, read_only=True)) as graph:
        num_done = sum(position.offset for position in graph.positions())
    return stream.time([[OURS]], CLEAN, num_events=stream.num_events - num_done, num_workers=1)


def check_no_dead_letter(stream: FollowStream) -> None:
    """Assert that no event was blamed for the outage."""
    settings = IngestSettings.from_environ(stream.environ(CLEAN))
    with open_dead_letters(settings.events_url, settings) as letters:
        assert letters.count() == 0


def rows(
    usual: Timeline, cold: Timeline, broken: Interrupted, num_events: int, seconds: float
) -> list[Row]:
    """The rows of the table."""
    before, timeline = broken.num_before, broken.timeline
    title = f"outage: {seconds:.0f} s without Neo4j"
    return [
        compare(
            f"{title}, {name}",
            "events/s",
            ours=[timeline.rate_between(first, last)],
            rival=[usual.rate_between(first, last)],
            rival_name="the same events, the server stayed up",
            bar=bar,
        )
        for name, first, last, bar in (
            ("before", 0, before, None),
            ("last half of the events", max(num_events // 2, before + 1), num_events, 0.9),
        )
    ] + [
        compare(
            f"{title}, all events after",
            "events/s",
            ours=[timeline.rate_between(before + 1, num_events)],
            rival=[cold.rate_between(1, cold.num_events)],
            rival_name="a new worker, the server just started",
            bar=0.9,
        ),
        Row(
            name=f"{title}, until the first commit",
            unit="s",
            ours=broken.seconds_to_go_on,
            better="lower",
        ),
    ]
