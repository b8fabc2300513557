"""Clients of one Kafka cluster, and their errors in our words."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka import errors as kafka_errors

from foundation.errors import SettingInvalid
from ingest.errors import BrokerRefused, BrokerUnreachable
from ingest.kafka.options import client_options, options_of

SCHEME = "kafka://"
DEFAULT_PORT = 9092
ANSWER_MS = 7_000
"""How long a broker may take to answer at the start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaConnection:
    """Where a cluster is and how its clients are to be set."""

    servers: str
    options: Mapping[str, Any]

    @classmethod
    def of(cls, url: str, given: Mapping[str, str]) -> "KafkaConnection":
        """Of kafka://HOST[:PORT][,HOST[:PORT]…] and settings as text. Raises SettingInvalid."""
        hosts = url.removeprefix(SCHEME).rstrip("/")
        if "@" in hosts:
            raise SettingInvalid(
                f"{SCHEME}…@{hosts.rpartition('@')[2]} names a user: give it by"
                " MMGA_KAFKA_SASL_PLAIN_USERNAME and MMGA_KAFKA_SASL_PLAIN_PASSWORD"
            )
        if not url.startswith(SCHEME) or not hosts:
            raise SettingInvalid(f"{url} is no address of Kafka: give {SCHEME}HOST:PORT")
        servers = [host if ":" in host else f"{host}:{DEFAULT_PORT}" for host in hosts.split(",")]
        return cls(servers=",".join(servers), options=client_options(given))

    def consumer(self, **ours: Any) -> Any:
        """A KafkaConsumer; connects."""
        return self._client(KafkaConsumer, ours)

    def producer(self, **ours: Any) -> Any:
        """A KafkaProducer that waits for all replicas and repeats nothing; connects."""
        return self._client(KafkaProducer, {"acks": "all", "enable_idempotence": True, **ours})

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
