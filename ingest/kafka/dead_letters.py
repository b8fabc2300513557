"""Dead letters of Kafka: messages of one topic for each topic of events.

A dead letter has the key and the bytes of the event, and headers with the reason and the source. It
stands in partition 0, so that dead letters have one order. A message without bytes that has the
header `settled` records that its event was sent again.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Any

from kafka import TopicPartition

from ingest.dead_letters.dead_letter import DeadLetter, Payload
from ingest.dead_letters.replay import Replay, recheck
from ingest.errors import BrokerUnreachable
from ingest.kafka.connection import KafkaConnection
from ingest.kafka.producing import Deliveries, Header
from ingest.kafka.topics import (
    create_topics,
    dead_letter_topic,
    event_topics,
    find_topics,
    topic_of,
)

PARTITION = 0
DAY_MS = 86_400_000
POLL_MS = 500
ANSWER_MS = 5_000
SILENCE_SECONDS = 10.0
SETTLED = "settled"
REQUIRED = {"reason", "source", "partition", "offset", "recorded_at", "length"}


class KafkaDeadLetters:
    """See DeadLetters; those of one project. Kafka's retention ends them."""

    def __init__(self, connection: KafkaConnection, project: str, *, days: int) -> None:
        self._connection = connection
        self._topics = [dead_letter_topic(topic) for topic in event_topics(project)]
        self._days = days
        self._deliveries = Deliveries(connection)
        self._is_prepared = False

    def prepare(self) -> None:
        """Make the topics that are missing. Raises BrokerUnreachable, BrokerRefused."""
        create_topics(
            self._connection,
            self._topics,
            partitions=1,
            configs={"retention.ms": str(self._days * DAY_MS), "cleanup.policy": "delete"},
        )
        self._is_prepared = True

    def append(self, letters: Sequence[DeadLetter]) -> None:
        """See DeadLetters."""
        if not letters:
            return
        if not self._is_prepared:
            self.prepare()
        for letter in letters:
            self._send(letter, letter.payload.content, _headers(letter))
        self._deliveries.wait()

    def read(self) -> list[DeadLetter]:
        """See DeadLetters."""
        newest: dict[tuple[str, int, int], DeadLetter] = {}
        for message in self._messages():
            headers = {name: value.decode() for name, value in message.headers if value is not None}
            if headers.keys() < REQUIRED:
                continue  # somebody else's message
            letter = _letter(message, headers)
            if SETTLED in headers:
                newest.pop(letter.position, None)
            else:
                newest[letter.position] = letter
        return list(newest.values())

    def count(self) -> int:
        """See DeadLetters."""
        return len(self.read())

    def settle(self, letters: Sequence[DeadLetter]) -> None:
        """See DeadLetters."""
        for letter in letters:
            self._send(letter, None, [*_headers(letter), (SETTLED, b"1")])
        self._deliveries.wait()

    def trim(self, older_than: int) -> int:
        """See DeadLetters; the topics' retention does it."""
        return 0

    def replay(self) -> Replay:
        """Send the events that are no longer rejected to their topics again, with their keys."""
        rechecked = recheck(self.read())
        for letter in rechecked.accepted:
            self._deliveries.send(topic_of(letter.source), letter.payload.content, letter.key)
        self._deliveries.wait()
        self.settle(rechecked.accepted)
        return rechecked.replay

    def close(self) -> None:
        """Close the connection."""
        self._deliveries.close()

    def _send(self, letter: DeadLetter, value: bytes | None, headers: Sequence[Header]) -> None:
        topic = dead_letter_topic(topic_of(letter.source))
        self._deliveries.send(topic, value, letter.key, headers=headers, partition=PARTITION)

    def _messages(self) -> Iterator[Any]:
        """All that the topics hold now. Raises BrokerUnreachable."""
        topics = find_topics(self._connection, self._topics)
        partitions = [TopicPartition(topic, PARTITION) for topic in sorted(topics)]
        if not partitions:
            return
        consumer = self._connection.consumer()
        try:
            with self._connection.translated():
                ends = consumer.end_offsets(partitions, timeout_ms=ANSWER_MS)
                consumer.assign(partitions)
                for partition, begin in consumer.beginning_offsets(
                    partitions, timeout_ms=ANSWER_MS
                ).items():
                    consumer.seek(partition, begin)
                yield from self._up_to(consumer, ends)
        finally:
            consumer.close()

    def _up_to(self, consumer: Any, ends: dict[Any, int]) -> Iterator[Any]:
        received_at = time.monotonic()
        while any(consumer.position(each, timeout_ms=ANSWER_MS) < ends[each] for each in ends):
            for messages in consumer.poll(timeout_ms=POLL_MS).values():
                yield from messages
                received_at = time.monotonic()
            if time.monotonic() - received_at > SILENCE_SECONDS:
                raise BrokerUnreachable(f"Kafka at {self._connection.servers} sends no messages")


def _headers(letter: DeadLetter) -> list[Header]:
    headers = {
        "reason": letter.reason,
        "source": letter.source,
        "partition": letter.partition,
        "offset": letter.offset,
        "recorded_at": letter.recorded_at,
        "length": letter.payload.length,
    }
    if letter.payload.sha256 is not None:
        headers["sha256"] = letter.payload.sha256
    return [(name, str(value).encode()) for name, value in headers.items()]


def _letter(message: Any, headers: dict[str, str]) -> DeadLetter:
    return DeadLetter(
        reason=headers["reason"],
        source=headers["source"],
        partition=int(headers["partition"]),
        offset=int(headers["offset"]),
        recorded_at=int(headers["recorded_at"]),
        payload=Payload(
            content=message.value or b"",
            length=int(headers["length"]),
            sha256=headers.get("sha256"),
        ),
        key=message.key,
    )
