"""Sending messages and knowing that all replicas hold them."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from kafka import errors as kafka_errors

from ingest.errors import BrokerRefused, BrokerUnreachable
from ingest.kafka.connection import KafkaConnection

DELIVERY_MS = 30_000
PRODUCER_SETTINGS = {
    "linger_ms": 100,  # a flush ends it
    "batch_size": 256 << 10,
    "request_timeout_ms": 10_000,
    "delivery_timeout_ms": DELIVERY_MS,
    "max_block_ms": 10_000,
    "allow_auto_create_topics": False,
    "reconnect_backoff_max_ms": 2_000,
}

Header = tuple[str, bytes]


class Deliveries:
    """Sends messages; `wait` returns when all of them are held by all replicas."""

    def __init__(self, connection: KafkaConnection) -> None:
        self._connection = connection
        self._producer: Any = None
        self._sent: list[Any] = []

    def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,
        *,
        headers: Sequence[Header] = (),
        partition: int | None = None,
    ) -> None:
        """Hand a message over. Raises BrokerUnreachable, BrokerRefused."""
        with self._connection.translated():
            if self._producer is None:
                self._producer = self._connection.producer(**PRODUCER_SETTINGS)
            self._sent.append(
                self._producer.send(
                    topic, value, key=key, headers=list(headers), partition=partition
                )
            )

    def wait(self) -> list[int]:
        """Wait until all that was sent is held; return the indices of messages that were too large.

        Raises BrokerUnreachable when others were not delivered: send all of them again.
        """
        sent, self._sent = self._sent, []
        if not sent:
            return []
        try:
            with self._connection.translated():
                with suppress(kafka_errors.KafkaTimeoutError):  # each message tells below
                    self._producer.flush(timeout=DELIVERY_MS / 1000)
                return [index for index, future in enumerate(sent) if not self._is_held(future)]
        except (BrokerUnreachable, BrokerRefused):
            self.close()  # the next try starts afresh, without what is still on its way
            raise

    def _is_held(self, future: Any) -> bool:
        """Whether a message is held; not, when it was too large. Raises why it is not else."""
        if future.succeeded():
            return True
        if isinstance(future.exception, kafka_errors.MessageSizeTooLargeError):
            return False
        if future.exception is not None:
            raise future.exception
        raise BrokerUnreachable(
            f"Kafka at {self._connection.servers} has not taken all messages within"
            f" {DELIVERY_MS // 1000} s"
        )

    def close(self) -> None:
        """Close the connection."""
        self._sent.clear()
        if self._producer is not None:
            self._producer.close(timeout=1)
            self._producer = None
