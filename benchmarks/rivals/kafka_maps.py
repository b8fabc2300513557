"""A consumer that sends maps to Neo4j, 1,000 at once, as the neo4j-kafka-connector does.

    python -m benchmarks.rivals.kafka_maps KAFKA_URL NEO4J_URL TOPIC EVENTS

The connector hands the events to the one statement of its sink by `UNWIND $events AS event` and
commits its offsets to Kafka, at least once, some seconds later. It has no rule of the newest, no
change feed and no positions in the graph; one event that cannot be read ends it.
"""

import sys
from typing import Any

import msgspec
from kafka import KafkaConsumer, TopicPartition
from neo4j import ManagedTransaction

from benchmarks.stream.event_stream import driver_of
from benchmarks.stream.turn import begin, committed

MERGE = """
UNWIND $events AS event
MERGE (a:User {user_id: event.data.follower_id})
MERGE (b:User {user_id: event.data.followee_id})
MERGE (a)-[f:FOLLOWS]->(b)
SET f.since = event.time"""
EVENTS_AT_ONCE = 1_000
FETCH_BYTES = 50 << 20
PARTITION_FETCH_BYTES = 2 << 20


def run(kafka_url: str, neo4j_url: str, topic: str, num_events: int) -> None:
    """Consume so many events from the beginning of a topic."""
    consumer = open_consumer(kafka_url, topic)
    with driver_of(neo4j_url) as driver, driver.session() as session:
        while not consumer.poll(timeout_ms=500):
            pass
        begin()
        consumer.seek_to_beginning()
        num_read = 0
        while num_read < num_events:
            found = consumer.poll(timeout_ms=500, max_records=EVENTS_AT_ONCE)
            messages = [message for part in found.values() for message in part]
            if messages:
                events = [msgspec.json.decode(message.value) for message in messages]
                session.execute_write(merge, events)
                num_read += len(events)
                committed(len(events))
    consumer.close()


def merge(transaction: ManagedTransaction, events: list[dict[str, Any]]) -> None:
    """Send one batch."""
    transaction.run(MERGE, events=events).consume()


def open_consumer(kafka_url: str, topic: str) -> KafkaConsumer:
    """A consumer of all partitions of a topic, as fast as the client can be set."""
    consumer = KafkaConsumer(
        bootstrap_servers=kafka_url.removeprefix("kafka://"),
        group_id="rival",
        auto_offset_reset="earliest",
        fetch_max_bytes=FETCH_BYTES,
        max_partition_fetch_bytes=PARTITION_FETCH_BYTES,
    )
    partitions = consumer.partitions_for_topic(topic) or set()
    consumer.assign([TopicPartition(topic, partition) for partition in partitions])
    consumer.seek_to_beginning()
    return consumer


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
