"""A loop that merges follows from memory into Neo4j, in columns of 10,000, with no guarantee.

python -m benchmarks.rivals.plain_merge NEO4J_URL EVENTS_FILE
"""

import json
import sys
from pathlib import Path

from neo4j import ManagedTransaction

from benchmarks.stream.event_stream import driver_of
from benchmarks.stream.turn import begin, committed

MERGE = """
UNWIND range(0, size($followers) - 1) AS i
MERGE (a:User {user_id: $followers[i]})
MERGE (b:User {user_id: $followees[i]})
MERGE (a)-[f:FOLLOWS]->(b)
SET f.since = $times[i]"""
EVENTS_AT_ONCE = 10_000


def run(neo4j_url: str, path: Path) -> None:
    """Load the file, then send it."""
    with path.open(encoding="utf-8") as lines:
        events = [json.loads(line) for line in lines]
    columns = {
        "followers": [event["data"]["follower_id"] for event in events],
        "followees": [event["data"]["followee_id"] for event in events],
        "times": [event["time"] for event in events],
    }
    with driver_of(neo4j_url) as driver, driver.session() as session:
        session.run("RETURN 1").consume()
        begin()
        for first in range(0, len(events), EVENTS_AT_ONCE):
            part = slice(first, first + EVENTS_AT_ONCE)
            batch = {name: column[part] for name, column in columns.items()}
            session.execute_write(merge, batch)
            committed(len(batch["times"]))


def merge(transaction: ManagedTransaction, batch: dict[str, list[str]]) -> None:
    """Send one batch."""
    transaction.run(MERGE, batch).consume()


if __name__ == "__main__":
    run(sys.argv[1], Path(sys.argv[2]))
