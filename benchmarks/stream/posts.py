"""Posts and their counts a second from Kafka to Neo4j, against bare loops without guarantees.

Input: 60,000 events of 20,000 users in 12 partitions: posts alone (2 % duplicates, on average 2.5
hashtags of 5,000, 0.3 mentions, 14 words, both counts), engagement of those posts alone, and a mix
of 40 % posts, 40 % follows and 20 % engagement. Ours is the pipeline of `mmga ingest --follow` in a
process of its own; turns as in `benchmarks.stream.from_kafka`. The rival sends columns of 10,000
events from memory, five statements for posts (`benchmarks.rivals.post_loop`): nothing is read,
decoded, checked or remembered. After each turn the graph holds the same posts, counts and follows.

At least 0.9 of the loop is asked for, of posts, of engagement and of the mix. Beside it, for
information, a loop that creates posts because it knows that none comes twice.

Embedded: `mmga ingest` of a file of 200,000 events into an empty home, whole processes on one core,
against a script that decodes and upserts the same: at least 0.9.
"""

import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from benchmarks.measure import Row, compare, take_turns
from benchmarks.stream.event_stream import OURS
from benchmarks.stream.from_file import PostsFromFile
from benchmarks.stream.post_stream import NUM_EVENTS, SHARES, PostStream, post_stream
from ingest.synthetic.posts import MIX, POSTS, Kind

ROUNDS = 3
BAR = 0.9
NUM_EMBEDDED = 200_000
IN_A_FILE: Mapping[str, Mapping[Kind, float]] = {
    "posts": POSTS,
    "engagement, 80 % of a file": {"post": 0.2, "engagement": 0.8},
    "mix": MIX,
}
QUICK = {"num_events": 5_000, "num_embedded": 5_000, "rounds": 1}


def run(
    num_events: int = NUM_EVENTS, num_embedded: int = NUM_EMBEDDED, rounds: int = ROUNDS
) -> list[Row]:
    """Measure ours and the loops in turn, on servers and embedded."""
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            PostsFromFile(Path(folder), name, shares, num_embedded).row(rounds)
            for name, shares in IN_A_FILE.items()
        ]
        with post_stream(Path(folder), num_events) as stream:
            for project in SHARES:
                rows += on_servers(stream, project, rounds)
    return rows


def on_servers(stream: PostStream, project: str, rounds: int) -> list[Row]:
    """The rows of one share of events."""
    events = str(stream.events[project])
    loop = ["benchmarks.rivals.post_loop", stream.neo4j.url, events]
    contenders: dict[str, Callable[[], float]] = {
        f"{project}: bare loop": partial(stream.turn, loop, project),
        f"{project}: ours": partial(stream.turn, [OURS], project, num_workers=1),
    }
    if project == "posts":
        contenders["posts: creating loop"] = partial(stream.turn, [*loop, "--new"], project)
    bare, ours, *creating = take_turns(contenders, rounds=rounds).values()
    row = partial(compare, f"streaming: {project}, Kafka to Neo4j", "events/s", ours=ours)
    return [
        row(rival=bare, rival_name="bare loop of columns from memory", bar=BAR),
        *(row(rival=rival, rival_name="the same, creating posts") for rival in creating),
    ]
