"""Clients of one Kafka cluster, and their errors in our words."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka import errors as kafka_errors

from foundation.errors import SettingInvalid
from ingest.errors import BrokerRefused, BrokerUnreachable, CodecMissing
from ingest.kafka.address import bootstrap_servers
from ingest.kafka.options import check_complete, options_of

ANSWER_MS = 7_000
"""How long a broker may take to answer at the start."""

CONSUMER_GUARANTEES = {
    "enable_auto_commit": False,  # the graph holds the positions
    "auto_offset_reset": "none",  # a position outside the log is an error, never a silent jump
    "isolation_level": "read_committed",
    "check_crcs": True,
}
PRODUCER_GUARANTEES = {"acks": "all", "enable_idempotence": True}
"""No option may name one of these (`ingest.kafka.options`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaConnection:
    """Where a cluster is and how its clients are to be set."""

    servers: str
    options: Mapping[str, Any]

    @classmethod
    def of(cls, url: str, options: Mapping[str, Any]) -> "KafkaConnection":
        """Of kafka://HOST[:PORT][,HOST[:PORT]…] and the client's options. Raises SettingInvalid."""
        check_complete(options)
        return cls(servers=bootstrap_servers(url), options=options)

    def consumer(self, **ours: Any) -> Any:
        """A KafkaConsumer that sees no aborted transaction and commits nothing itself; connects."""
        return self._client(KafkaConsumer, {**ours, **CONSUMER_GUARANTEES})

    def producer(self, **ours: Any) -> Any:
        """A KafkaProducer that waits for all replicas and repeats nothing; connects."""
        return self._client(KafkaProducer, {**ours, **PRODUCER_GUARANTEES})

    @contextmanager
    def admin(self) -> Iterator[Any]:
        """A KafkaAdminClient; connects."""
        client = self._client(KafkaAdminClient, {"request_timeout_ms": ANSWER_MS})
        try:
            yield client
        finally:
            client.close()

    def _client(self, kind: Any, ours: Mapping[str, Any]) -> Any:
        settings = {
            "bootstrap_servers": self.servers,
            "bootstrap_timeout_ms": ANSWER_MS,
            **ours,
            **options_of(kind, self.options),
        }
        try:
            with self.translated():
                return kind(**settings)
        except (OSError, ValueError) as error:  # certificates that cannot be read, among others
            raise SettingInvalid(f"{error}; correct the variables MMGA_KAFKA_…") from error

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Raise errors of the client as ours."""
        try:
            yield
        except kafka_errors.KafkaConfigurationError as error:
            raise SettingInvalid(f"{error}; correct the variables MMGA_KAFKA_…") from error
        except kafka_errors.UnsupportedCodecError as error:
            raise CodecMissing(
                f"messages of Kafka at {self.servers} are compressed by a codec that is not"
                f' installed ({error}): run `pip install ".[ingest]"` in the checkout'
            ) from error
        except kafka_errors.KafkaError as error:
            if error.retriable:
                raise BrokerUnreachable(
                    f"Kafka at {self.servers} does not answer ({error}): start it, or correct its"
                    " address (MMGA_EVENTS_URL) and MMGA_KAFKA_…"
                ) from error
            raise BrokerRefused(
                f"Kafka at {self.servers} refuses ({error}): look at its log, at the rights of the"
                " user and at MMGA_KAFKA_…"
            ) from error
