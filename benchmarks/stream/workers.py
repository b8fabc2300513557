"""Follows a second from Kafka to one Neo4j by 1, 2 and 4 ingest workers.

Input and turns as in `benchmarks.stream.from_kafka`; the workers have shared out the 12 partitions
before the clock starts. Every commit first advances the version of the graph, which makes them take
turns: what is asked for is order without deadlock or conflict, at the rate of one worker. On
machines where decoding and deciding, and not the server, are the bottleneck, more workers gain.
"""

import tempfile
from functools import partial
from pathlib import Path

from benchmarks.measure import Row, compare, take_turns
from benchmarks.stream.follow_stream import CLEAN, NUM_EVENTS, follow_stream

NUMBERS = (1, 2, 4)
ROUNDS = 3
QUICK = {"num_events": 20_000, "rounds": 1}


def run(num_events: int = NUM_EVENTS, rounds: int = ROUNDS) -> list[Row]:
    """Measure each number of workers in turn."""
    with tempfile.TemporaryDirectory() as folder, follow_stream(Path(folder), num_events) as stream:
        stream.make(CLEAN)
        contenders = {
            f"{number} workers": partial(stream.ours, CLEAN, num_workers=number)
            for number in NUMBERS
        }
        figures = take_turns(contenders, rounds=rounds)
    alone, *several = figures.values()
    return [
        compare(
            f"streaming: {number} workers on one graph",
            "events/s",
            ours=together,
            rival=alone,
            rival_name="1 worker",
        )
        for number, together in zip(NUMBERS[1:], several, strict=True)
    ]
