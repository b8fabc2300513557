"""Follows a second after two minutes without the Neo4j server, against a run that had none.

Input and worker as in `benchmarks.streaming`, with twice as many events. When a third of them is
committed the server is stopped in good order, and started again after 120 s
(MMGA_BENCH_OUTAGE_SECONDS); the one worker is never touched. At the end the graph holds the same
pairs as without an outage, and there is no dead letter: a connector that retries for a minute has
lost valid events to its dead letters by then.

The rival is the same worker over the same events on the server that stayed up. What is asked for is
its rate, at least 0.9 of it, over the last half of the events; a server that was just started is
cold and slower whoever sends, which the row of all events after the outage shows.
"""

import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.follow_stream import CLEAN, NUM_EVENTS, OURS, FollowStream, follow_stream
from benchmarks.measure import Row, compare
from benchmarks.turn import Timeline, turn
from ingest.letters import open_letters
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
    """A run without, then one with an outage."""
    with tempfile.TemporaryDirectory() as folder, follow_stream(Path(folder), num_events) as stream:
        stream.make(CLEAN)
        tell(f"warm-up: {stream.ours():,.0f}")
        stream.empty()
        usual = stream.time([[OURS]], num_workers=1)
        stream.check()
        tell(f"without an outage: {usual.rate:,.0f}")
        broken = interrupted(stream, num_events // 3, seconds)
        stream.check()
        check_no_dead_letter(stream)
    return rows(usual, broken, num_events, seconds)


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


def check_no_dead_letter(stream: FollowStream) -> None:
    """Assert that no event was blamed for the outage."""
    settings = IngestSettings.from_environ(stream.environ(CLEAN))
    with open_letters(settings.events_url, settings) as letters:
        assert letters.count() == 0


def rows(usual: Timeline, broken: Interrupted, num_events: int, seconds: float) -> list[Row]:
    """The rows of the table."""
    before, timeline = broken.num_before, broken.timeline
    title = f"outage: {seconds:.0f} s without Neo4j"
    return [
        compare(
            f"{title}, {name}",
            "events/s",
            ours=[timeline.rate_between(first, last)],
            rival=[usual.rate_between(first, last)],
            rival_name="the same events without an outage",
            bar=bar,
        )
        for name, first, last, bar in (
            ("before", 0, before, None),
            ("all events after", before + 1, num_events, None),
            ("last half of the events", max(num_events // 2, before + 1), num_events, 0.9),
        )
    ] + [
        Row(
            name=f"{title}, until the first commit",
            unit="s",
            ours=broken.seconds_to_go_on,
            better="lower",
        )
    ]
