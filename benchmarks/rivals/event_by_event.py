"""A consumer that merges one event after the other into Neo4j, as a first version is written.

python -m benchmarks.rivals.event_by_event KAFKA_URL NEO4J_URL TOPIC EVENTS
"""

import json
import sys

from benchmarks.rivals.kafka_maps import open_consumer
from benchmarks.stream.event_stream import driver_of
from benchmarks.stream.turn import begin, committed

MERGE = """
MERGE (a:User {user_id: $follower})
MERGE (b:User {user_id: $followee})
MERGE (a)-[f:FOLLOWS]->(b)
SET f.since = $time"""


def run(kafka_url: str, neo4j_url: str, topic: str, num_events: int) -> None:
    """Consume so many events from the beginning of a topic."""
    consumer = open_consumer(kafka_url, topic)
    with driver_of(neo4j_url) as driver, driver.session() as session:
        while not consumer.poll(timeout_ms=500):
            pass
        begin()
        consumer.seek_to_beginning()
        for _, message in zip(range(num_events), consumer, strict=False):
            event = json.loads(message.value)
            session.run(
                MERGE,
                follower=event["data"]["follower_id"],
                followee=event["data"]["followee_id"],
                time=event["time"],
            ).consume()
            committed(1)
    consumer.close()


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
