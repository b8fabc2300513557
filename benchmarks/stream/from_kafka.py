"""Follows a second from Kafka to Neo4j with all guarantees, against loops that have fewer or none.

Input: 200,000 follows of 50,000 users, heavy tail, 5 % duplicates, seed 0, in 12 partitions. Ours
is the pipeline of `mmga ingest --follow` in a process of its own: validation, exactly-once, the
rule of the newest, change feed, dead letters. Each turn begins on an emptied database with its
constraints, the server warm, connections made and the group joined; it is timed from the seek to
the first offset until the last commit. After each turn the graph holds the same pairs.

Rivals, and what is asked of us:
- the bare driver, which sends our own statements and columns from memory while the broker idles:
  no pipeline on this server can do better. At least 0.7. Beside it a plain MERGE of columns.
- a consumer that sends maps of 1,000 as the neo4j-kafka-connector does, at least once, with no
  rule, feed or positions: what people deploy today. At least 1.1.
- a consumer that merges event by event: what a first version does. At least 25; it is timed on
  fewer events, into a graph that is still small, which favours it.
- ours on 20 bad events among the 200,000 against ours on none (at least 0.9): the connector falls
  to a quarter. With 3 % unfollows, the mix of a real network, for information.
- ours into the embedded graph: at least 30,000 events/s.
"""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.measure import Row, compare, take_turns
from benchmarks.stream.event_stream import OURS
from benchmarks.stream.follow_stream import (
    CLEAN,
    MIXED,
    NUM_BAD,
    NUM_EVENTS,
    WITH_BAD,
    FollowStream,
    follow_stream,
)
from benchmarks.stream.turn import Command
from graphdb import open_graph
from ingest.dead_letters.open import open_dead_letters
from ingest.kafka.topics import topic_name
from ingest.settings import IngestSettings

NUM_SINGLE_EVENTS = 2_000
ROUNDS = 3
EMBEDDED_BAR = 30_000
QUICK = {"num_events": 20_000, "rounds": 1}


def run(num_events: int = NUM_EVENTS, rounds: int = ROUNDS) -> list[Row]:
    """Measure ours, the rivals and ours on other events in turn."""
    with tempfile.TemporaryDirectory() as folder, follow_stream(Path(folder), num_events) as stream:
        stream.make(CLEAN)
        stream.make(WITH_BAD, num_bad=NUM_BAD)
        stream.make(MIXED, unfollows=0.03)
        bench = StreamingBenchmark(stream)
        bench.record()
        figures = take_turns(bench.contenders(), rounds=rounds)
        bench.check_dead_letters()
        return rows(figures)


class StreamingBenchmark:
    """One turn of each contender, as events a second."""

    def __init__(self, stream: FollowStream) -> None:
        self.stream = stream
        self.recording = stream.folder / "recording"
        self.num_embedded = 0

    def contenders(self) -> dict[str, Callable[[], float]]:
        """Who takes turns: rivals that ours is compared with stand next to it."""
        neo4j, kafka = self.stream.neo4j.url, self.stream.kafka.url
        topic = topic_name(CLEAN, "follows")
        events = str(self.stream.events[CLEAN])
        rivals = "benchmarks.rivals"
        consumed = [kafka, neo4j, topic, str(self.stream.num_events)]
        num_single = min(NUM_SINGLE_EVENTS, self.stream.num_events)
        return {
            "bare": partial(
                self.rival, [f"{rivals}.bare_driver", "send", neo4j, str(self.recording)]
            ),
            "ours": partial(self.stream.ours, CLEAN),
            "maps": partial(self.rival, [f"{rivals}.kafka_maps", *consumed]),
            "plain": partial(self.rival, [f"{rivals}.plain_merge", neo4j, events]),
            "bad": partial(self.stream.ours, WITH_BAD),
            "mixed": partial(self.stream.ours, MIXED),
            "embedded": self.embedded,
            "single": partial(
                self.rival,
                [f"{rivals}.event_by_event", *consumed[:3], str(num_single)],
                num_events=num_single,
            ),
        }

    def record(self) -> None:
        """Keep what ours sends, for the bare driver; also the server's first warming."""
        self.stream.empty()
        self.stream.time(
            [["benchmarks.rivals.bare_driver", "record", str(self.recording)]],
            CLEAN,
            num_workers=1,
        )
        self.stream.check(CLEAN)

    def rival(self, command: Command, *, num_events: int | None = None) -> float:
        """A rival's turn on an emptied database."""
        self.stream.empty()
        timeline = self.stream.time([command], CLEAN, num_events=num_events)
        if num_events is None:
            self.stream.check(CLEAN)
        return timeline.rate

    def embedded(self) -> float:
        """Ours into a new SQLite file."""
        self.num_embedded += 1
        url = f"sqlite:///{self.stream.folder / f'embedded{self.num_embedded}.db'}"
        timeline = self.stream.time([[OURS]], CLEAN, num_workers=1, graph_url=url)
        graph = open_graph(url, read_only=True)
        follows = graph.follows()
        graph.close()
        ends = zip(follows.followers.tolist(), follows.followees.tolist(), strict=True)
        ids = follows.user_ids
        assert {(ids[a], ids[b]) for a, b in ends} == self.stream.pairs[CLEAN]
        return timeline.rate

    def check_dead_letters(self) -> None:
        """Assert that each bad event is a dead letter, and no other event is."""
        for project, num_bad in ((CLEAN, 0), (MIXED, 0), (WITH_BAD, NUM_BAD)):
            settings = IngestSettings.from_environ(self.stream.environ(project))
            with open_dead_letters(settings.events_url, settings) as letters:
                assert letters.count() == num_bad


def rows(figures: dict[str, list[float]]) -> list[Row]:
    """The rows of the table."""
    row = partial(compare, unit="events/s")
    ours = figures["ours"]
    return [
        row(
            "streaming: Kafka to Neo4j, all guarantees",
            ours=ours,
            rival=figures["bare"],
            rival_name="bare driver, our statements from memory",
            bar=0.7,
        ),
        row(
            "streaming: the same",
            ours=ours,
            rival=figures["plain"],
            rival_name="bare driver, plain MERGE from memory",
        ),
        row(
            "streaming: the same",
            ours=ours,
            rival=figures["maps"],
            rival_name="consumer, maps of 1,000 as the connector",
            bar=1.1,
        ),
        row(
            "streaming: the same",
            ours=ours,
            rival=figures["single"],
            rival_name=f"consumer, event by event ({NUM_SINGLE_EVENTS:,} timed)",
            bar=25,
        ),
        row(
            f"streaming: {NUM_BAD} bad events among them",
            ours=figures["bad"],
            rival=ours,
            rival_name="ours without bad events",
            bar=0.9,
        ),
        row(
            "streaming: 3 % unfollows among them",
            ours=figures["mixed"],
            rival=ours,
            rival_name="ours without unfollows",
        ),
        row(
            "streaming: Kafka to the embedded graph",
            ours=figures["embedded"],
            rival=[EMBEDDED_BAR] * len(ours),
            rival_name="the bar itself",
            bar=1.0,
        ),
    ]
