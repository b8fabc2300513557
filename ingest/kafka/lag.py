"""How far the graph is behind the topics."""

from collections.abc import Mapping, Sequence
from typing import Any

from kafka import TopicPartition

from graphdb.facts import Position
from ingest.kafka.connection import KafkaConnection
from ingest.kafka.topics import event_topics, find_cluster_id, find_topics, source_name, topic_of

ANSWER_MS = 5_000


def read_lag(
    url: str, project: str, options: Mapping[str, Any], positions: Sequence[Position]
) -> dict[str, int]:
    """Messages of each topic that the graph does not hold and may read: those of transactions that
    are not over come later. Raises BrokerUnreachable.
    """
    connection = KafkaConnection.of(url, options)
    topics = find_topics(connection, event_topics(project))
    partitions = [
        TopicPartition(topic.name, partition)
        for topic in topics.values()
        for partition in topic.partitions
    ]
    if not partitions:
        return {}
    consumer = connection.consumer()
    try:
        with connection.translated():
            begins = consumer.beginning_offsets(partitions, timeout_ms=ANSWER_MS)
            ends = consumer.end_offsets(partitions, timeout_ms=ANSWER_MS)
    finally:
        consumer.close()
    cluster_id = find_cluster_id(connection)
    stored = {
        (each.source, each.partition): each.offset
        for each in positions
        if (topic := topics.get(topic_of(each.source))) is not None
        and each.fingerprint in (None, topic.topic_id)
    }
    lag = dict.fromkeys(sorted(topics), 0)
    for partition in partitions:
        at = stored.get((source_name(cluster_id, partition.topic), partition.partition), 0)
        lag[partition.topic] += max(0, ends[partition] - max(at, begins[partition]))
    return lag
