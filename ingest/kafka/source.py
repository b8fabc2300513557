"""Topics of Kafka as a source: read by a consumer group from the positions that the graph holds."""

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from kafka import TopicPartition
from kafka import errors as kafka_errors
from kafka.structs import OffsetAndMetadata

from graphdb.facts import Position
from ingest.errors import BrokerUnreachable, PartitionsMoved, SourceMissing
from ingest.kafka.assignment import Assignment
from ingest.kafka.connection import KafkaConnection
from ingest.kafka.group import GraphAssignor, taken, use_assignor
from ingest.kafka.offsets import PartitionCursor, cursor_at, lost, out_of_range, recreated
from ingest.kafka.topics import (
    Topic,
    event_topics,
    find_topics,
    group_name,
    source_name,
    topic_of,
)
from ingest.sources.source import Extent, Records, SourceSettings

MAX_BATCH_BYTES = 16 << 20
FILL_SECONDS = 0.1
"""How long a batch that is not full waits for more."""
FILL_POLL_MS = 20
ANSWER_MS = 5_000
SECONDS_BETWEEN_PROBES = 5.0
SECONDS_BETWEEN_HINTS = 5.0
CLOSE_MS = 3_000

CONSUMER_SETTINGS = {
    "allow_auto_create_topics": False,
    "fetch_max_bytes": 50 << 20,
    "max_partition_fetch_bytes": 2 << 20,
    "metadata_max_age_ms": 30_000,  # how soon partitions that are added are found
    "reconnect_backoff_max_ms": 2_000,
    "request_timeout_ms": 20_000,
}


def open_kafka_source(url: str, settings: SourceSettings) -> "KafkaSource":
    """Connect. Raises BrokerUnreachable; SourceMissing when no topic exists and none is awaited."""
    connection = KafkaConnection.of(url, settings.kafka)
    names = event_topics(settings.project)
    topics = find_topics(connection, names)
    if not topics and not settings.wait:
        raise SourceMissing(
            f"no topic {', '.join(names)} in Kafka at {connection.servers}: `mmga publish FILE"
            " --create-topics` makes them (--follow waits for one)"
        )
    consumer = connection.consumer(
        group_id=group_name(settings.project),
        partition_assignment_strategy=[GraphAssignor()],
        **CONSUMER_SETTINGS,
    )
    return KafkaSource(connection, consumer, names, topics, settings)


class KafkaSource:
    """See Source. Each partition of a topic is a partition of the source kafka://CLUSTER/TOPIC.

    Without `wait` it ends at the end of each partition as it was at the start.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        consumer: Any,
        names: Sequence[str],
        topics: Mapping[str, Topic],
        settings: SourceSettings,
    ) -> None:
        self._connection = connection
        self._consumer = consumer
        self._names = names
        self._topics = dict(topics)
        self._group = group_name(settings.project)
        self._waits = settings.wait
        self._poll_seconds = settings.poll_seconds
        self._assignment = Assignment(consumer)
        self._seen_assignment = 0
        self._stored: dict[tuple[str, int], Position] = {}
        self._is_positioned = False
        self._is_paused = False
        self._cursors: dict[Any, PartitionCursor] = {}
        self._targets: dict[Any, int] | None = None
        self._hints: dict[Any, int] = {}
        self._hinted = self._probed = time.monotonic()
        self._looked = time.monotonic()
        self._subscribe()

    def join(self, graph_id: str) -> None:
        """See SharedSource."""
        use_assignor(self._consumer, GraphAssignor(graph_id))

    def seek(self, positions: Sequence[Position]) -> None:
        """See Source; `read` learns from Kafka whether they are in the log."""
        self._stored = {(each.source, each.partition): each for each in positions}
        self._seen_assignment = self._assignment.number
        self._is_positioned = False

    def read(self, max_events: int) -> list[Records] | None:
        """See Source."""
        try:
            with self._connection.translated():
                return self._read(max_events)
        except BrokerUnreachable:
            self._probed = -math.inf  # silence means nothing until the broker has answered
            raise

    def keep_alive(self) -> None:
        """See Source: polls with all partitions paused."""
        if not self._topics:
            return
        self._is_paused = True
        for partition in self._consumer.assignment():
            self._set_flow(self._consumer.pause, partition)
        with self._connection.translated():
            try:
                self._consumer.poll(timeout_ms=0)
            except kafka_errors.KafkaError as error:
                raise self._read_error(error) from error
        self._check_partitions()

    def committed(self, positions: Sequence[Position]) -> None:
        """See Source: the offsets of the group, which only tools for lag look at."""
        for each in positions:
            self._hints[TopicPartition(topic_of(each.source), each.partition)] = each.offset
        if time.monotonic() - self._hinted >= SECONDS_BETWEEN_HINTS:
            self._hinted = time.monotonic()
            with suppress(kafka_errors.KafkaError):
                if hints := self._own_hints():
                    self._consumer.commit_async(hints, callback=_ignore)

    def earliest(self) -> list[Position]:
        """See Source."""
        with self._connection.translated():
            begins = self._consumer.beginning_offsets(self._all(), timeout_ms=ANSWER_MS)
        return [self._position(partition, offset) for partition, offset in begins.items()]

    def at_time(self, time: int) -> list[Position]:
        """See Source; by the time at which a message was written, which no event is later than."""
        with self._connection.translated():
            wanted = dict.fromkeys(self._all(), max(0, time // 1000))
            found = self._consumer.offsets_for_times(wanted, timeout_ms=ANSWER_MS)
            ends = self._consumer.end_offsets(self._all(), timeout_ms=ANSWER_MS)
        return [
            self._position(partition, ends[partition] if at is None else at.offset)
            for partition, at in found.items()
        ]

    def extent(self) -> Extent:
        """See Source; in messages of this worker's partitions."""
        if self._targets is None:
            for partition, cursor in self._cursors.items():
                with suppress(kafka_errors.IllegalStateError):  # it went meanwhile
                    cursor.end = max(cursor.end, self._consumer.highwater(partition) or 0)
        return Extent(
            done=sum(cursor.position.offset - cursor.begin for cursor in self._cursors.values()),
            total=sum(cursor.end - cursor.begin for cursor in self._cursors.values()),
        )

    def warnings(self) -> list[str]:
        """See Source."""
        missing = [name for name in self._names if name not in self._topics]
        return [f"there is no topic {name}" for name in missing]

    def close(self) -> None:
        """See Source; leaves the group, so that others need not wait for this worker to expire."""
        with suppress(kafka_errors.KafkaError):  # a hint; the graph knows better
            if hints := self._own_hints():
                self._consumer.commit(hints, timeout_ms=CLOSE_MS)
        self._consumer.close(timeout_ms=CLOSE_MS)

    def _read(self, max_events: int) -> list[Records] | None:
        self._look_for_topics()
        if not self._topics:
            time.sleep(self._poll_seconds)
            return None
        self._check_partitions()
        if not self._is_positioned:
            self._seek_assigned()
        elif self._is_paused:
            self._resume()
        if self._is_at_target():
            return None
        found = self._poll(max_events)
        self._check_partitions()
        self._check_topics()
        if found:
            self._probed = time.monotonic()
            return [self._cursors[partition].advance(found[partition]) for partition in found]
        self._probe()
        if passed := self._passed():
            return passed
        return None if self._waits or self._is_at_target() else []

    def _subscribe(self) -> None:
        if self._topics:
            self._consumer.subscribe(sorted(self._topics), listener=self._assignment)

    def _look_for_topics(self) -> None:
        """Where a topic is missing, look for it now and then, and read it too when it is there."""
        if len(self._topics) == len(self._names) or not self._waits:
            return
        if time.monotonic() - self._looked < SECONDS_BETWEEN_PROBES:
            return
        self._looked = time.monotonic()
        found = find_topics(self._connection, self._names)
        if found.keys() - self._topics.keys():
            self._topics.update(found)
            self._subscribe()

    def _check_partitions(self) -> None:
        if self._assignment.number != self._seen_assignment:
            raise PartitionsMoved(f"{len(self._consumer.assignment())} partitions are ours")

    def _check_topics(self) -> None:
        """Notice a topic that was deleted and created again under this worker."""
        for topic in {partition.topic for partition in self._cursors}:
            now = self._topic_id(topic)
            cursors = [cursor for each, cursor in self._cursors.items() if each.topic == topic]
            if now is not None and any(cursor.position.fingerprint != now for cursor in cursors):
                raise recreated(cursors[0].position)

    def _seek_assigned(self) -> None:
        """Go to the stored positions of the partitions that are ours."""
        assigned = self._consumer.assignment()
        begins = self._consumer.beginning_offsets(assigned, timeout_ms=ANSWER_MS)
        ends = self._consumer.end_offsets(assigned, timeout_ms=ANSWER_MS)
        if not self._waits and self._targets is None:
            self._targets = self._consumer.end_offsets(self._all(), timeout_ms=ANSWER_MS)
        self._cursors = {
            partition: self._cursor_of(partition, begins[partition], ends[partition])
            for partition in assigned
        }
        for partition, cursor in self._cursors.items():
            if partition not in self._consumer.assignment():
                raise PartitionsMoved("partitions went while positions were being taken")
            self._consumer.seek(partition, cursor.position.offset)
        self._is_positioned = True
        self._resume()

    def _cursor_of(self, partition: Any, begin: int, end: int) -> PartitionCursor:
        start = self._position(partition, begin)
        cursor = cursor_at(start, self._stored.get((start.source, start.partition)), end)
        if self._targets is not None:
            cursor.end = min(end, self._targets.get(partition, end))
        return cursor

    def _resume(self) -> None:
        self._is_paused = False
        for partition in self._cursors:
            self._set_flow(self._consumer.resume, partition)

    def _set_flow(self, change: Any, partition: Any) -> None:
        try:
            change(partition)
        except KeyError as error:
            raise PartitionsMoved("partitions went meanwhile") from error

    def _poll(self, max_events: int) -> dict[Any, list[Any]]:
        """Messages by partition: a batch that is as full as it gets in a moment."""
        found: dict[Any, list[Any]] = {}
        room, num_bytes, timeout_ms = max_events, 0, int(self._poll_seconds * 1000)
        end = time.monotonic() + self._poll_seconds + FILL_SECONDS
        while room > 0 and num_bytes < MAX_BATCH_BYTES and time.monotonic() < end:
            try:
                more = self._consumer.poll(timeout_ms=timeout_ms, max_records=room)
            except kafka_errors.KafkaError as error:
                if found:
                    break  # the client has passed these messages: they come first
                raise self._read_error(error) from error
            if not more:
                break
            for partition, messages in more.items():
                found.setdefault(partition, []).extend(messages)
                room -= len(messages)
                num_bytes += sum(len(each.value or b"") for each in messages)
            timeout_ms = FILL_POLL_MS
        return found

    def _read_error(self, error: Exception) -> Exception:
        """What an error of polling means for a partition that was being read."""
        cause: Any = error
        if isinstance(error, kafka_errors.InconsistentGroupProtocolError):
            return taken(self._connection, self._group)
        if isinstance(error, kafka_errors.OffsetOutOfRangeError):
            [(partition, offset), *_] = cause.args[0].items()
            begins = self._consumer.beginning_offsets([partition], timeout_ms=ANSWER_MS)
            return out_of_range(self._position(partition, offset), begins[partition])
        if isinstance(error, kafka_errors.LogTruncationError):
            [partition, *_] = cause.divergent_offsets
            position = self._cursors[partition].position
            return lost(position, "its log was cut back behind what was read")
        return error

    def _passed(self) -> list[Records]:
        """Moves behind what the client has passed without a message.

        Markers that end transactions, and messages that were taken back with one, stand in the log
        and are never read; without these moves the graph would seem to be behind them for ever.
        """
        try:
            offsets = {
                partition: self._consumer.position(partition, timeout_ms=ANSWER_MS)
                for partition in self._cursors
            }
        except kafka_errors.IllegalStateError as error:
            raise PartitionsMoved("partitions went meanwhile") from error
        except kafka_errors.KafkaError as error:
            raise self._read_error(error) from error
        self._check_partitions()
        return [
            self._cursors[partition].skip(offset)
            for partition, offset in offsets.items()
            if offset is not None and offset > self._cursors[partition].position.offset
        ]

    def _is_at_target(self) -> bool:
        """Whether all that there was at the start has been read."""
        if self._targets is None or not self._is_positioned:
            return False
        is_read = all(
            cursor.position.offset >= self._targets.get(partition, 0)
            for partition, cursor in self._cursors.items()
        )
        return is_read and bool(self._seen_assignment)

    def _probe(self) -> None:
        """Nothing came: learn now and then whether there is nothing, or a broker that is gone."""
        if time.monotonic() - self._probed >= SECONDS_BETWEEN_PROBES:
            [partition, *_] = [*self._cursors, *self._all()]
            self._consumer.end_offsets([partition], timeout_ms=ANSWER_MS)
            self._probed = time.monotonic()

    def _own_hints(self) -> dict[Any, Any]:
        own = self._consumer.assignment()
        return {
            partition: OffsetAndMetadata(offset, "", -1)
            for partition, offset in self._hints.items()
            if partition in own
        }

    def _all(self) -> list[Any]:
        return [
            TopicPartition(topic.name, partition)
            for topic in self._topics.values()
            for partition in topic.partitions
        ]

    def _position(self, partition: Any, offset: int) -> Position:
        topic_id = self._topic_id(partition.topic) or self._topics[partition.topic].topic_id
        return Position(
            source=source_name(self._cluster.cluster_id, partition.topic),
            partition=partition.partition,
            offset=offset,
            fingerprint=topic_id,
        )

    @property
    def _cluster(self) -> Any:
        return self._consumer._cluster  # the client shows neither cluster id nor topic ids itself

    def _topic_id(self, topic: str) -> str | None:
        """Of the newest metadata; None while the topic is not in them, and of old brokers."""
        topic_id = self._cluster.topic_id(topic)
        return str(topic_id) if topic_id is not None and topic_id.int else None


def _ignore(offsets: object, answer: object) -> None:
    """The offsets of the group are a hint: whether they arrive does not matter."""
