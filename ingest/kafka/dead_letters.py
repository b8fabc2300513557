"""Dead letters of Kafka: messages of one topic for each topic of events.

A dead letter has the key and the bytes of the event, and headers with the reason and the source. It
stands in partition 0, so that dead letters have one order. A message without bytes that has the
header `settled_at` settles the dead letters of its position.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from kafka import TopicPartition

from ingest.dead_letters.dead_letter import (
    DeadLetter,
    Payload,
    Place,
    Settlement,
    positions_of,
    standing,
)
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
LETTER = {"reason", "source", "partition", "offset", "recorded_at", "length"}
SETTLEMENT = {"source", "partition", "offset", "settled_at"}
"""The headers by which our messages are known among others."""


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
            self._send(letter.source, letter.payload.content, letter.key, _headers(letter))
        self._deliveries.wait()

    def read(self) -> list[DeadLetter]:
        """See DeadLetters."""
        return standing(self._log())

    def positions(self) -> set[Place]:
        """See DeadLetters."""
        return positions_of(self._log())

    def count(self) -> int:
        """See DeadLetters."""
        return len(self.positions())

    def settle(self, settlements: Sequence[Settlement]) -> None:
        """See DeadLetters."""
        for each in settlements:
            headers = [(name, str(value).encode()) for name, value in asdict(each).items()]
            key = f"{each.partition}:{each.offset}".encode()  # a message has a key or a value
            self._send(each.source, None, key, headers)
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
        self.settle([Settlement.of(letter) for letter in rechecked.accepted])
        return rechecked.replay

    def close(self) -> None:
        """Close the connection."""
        self._deliveries.close()

    def _send(
        self, source: str, value: bytes | None, key: bytes | None, headers: Sequence[Header]
    ) -> None:
        topic = dead_letter_topic(topic_of(source))
        self._deliveries.send(topic, value, key, headers=headers, partition=PARTITION)

    def _log(self) -> Iterator[DeadLetter | Settlement]:
        for message in self._messages():
            headers = {name: value.decode() for name, value in message.headers if value is not None}
            if headers.keys() >= SETTLEMENT:
                yield _settlement(headers)
            elif headers.keys() >= LETTER:
                yield _letter(message, headers)

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
        "decoder": letter.decoder,
        "length": letter.payload.length,
    }
    if letter.payload.sha256 is not None:
        headers["sha256"] = letter.payload.sha256
    return [(name, str(value).encode()) for name, value in headers.items()]


def _settlement(headers: dict[str, str]) -> Settlement:
    return Settlement(
        source=headers["source"],
        partition=int(headers["partition"]),
        offset=int(headers["offset"]),
        settled_at=int(headers["settled_at"]),
    )


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
