"""The topics of a project: their names, what belongs to which, and making them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kafka import errors as kafka_errors

from ingest.errors import SourceMissing
from ingest.kafka.connection import KafkaConnection

DEFAULT_PROJECT = "mmga"
USERS, POSTS, FOLLOWS = "users", "posts", "follows"
KINDS = (USERS, POSTS, FOLLOWS)
UNKNOWN_TOPIC = 3
"""The protocol's code for a topic that does not exist."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """A topic that exists; its id tells it from one of the same name that was deleted."""

    name: str
    topic_id: str | None
    partitions: Sequence[int]


def topic_name(project: str, kind: str) -> str:
    """The topic of one kind of event."""
    prefix = "" if project == DEFAULT_PROJECT else f"{project}."
    return f"{prefix}instagram.{kind}"


def event_topics(project: str) -> list[str]:
    """All topics that events of a project are in."""
    return [topic_name(project, kind) for kind in KINDS]


def dead_letter_topic(topic: str) -> str:
    """Where the dead letters of a topic are kept."""
    return f"{topic}.dlq"


def group_name(project: str) -> str:
    """The consumer group of a project's ingest workers."""
    return f"{project}.ingest"


def source_name(cluster_id: str, topic: str) -> str:
    """The identity of a topic as a source of events."""
    return f"kafka://{cluster_id}/{topic}"


def topic_of(source: str) -> str:
    """The topic that a source names."""
    return source.rpartition("/")[2]


def find_topics(connection: KafkaConnection, names: Iterable[str]) -> dict[str, Topic]:
    """Those of the topics that exist. Raises BrokerUnreachable, BrokerRefused."""
    with connection.translated(), connection.admin() as admin:
        return {
            found["name"]: Topic(
                name=found["name"],
                topic_id=_id(found.get("topic_id")),
                partitions=sorted(each["partition_index"] for each in found["partitions"]),
            )
            for found in admin.describe_topics(list(names))
            if _exists(found)
        }


def find_cluster_id(connection: KafkaConnection) -> str:
    """The identity of the cluster. Raises BrokerUnreachable, BrokerRefused."""
    with connection.translated(), connection.admin() as admin:
        cluster_id: str = admin.describe_cluster()["cluster_id"]
    return cluster_id


def create_topics(
    connection: KafkaConnection,
    names: Iterable[str],
    *,
    partitions: int,
    configs: Mapping[str, str] | None = None,
) -> list[str]:
    """Make those of the topics that are missing; return their names.

    The replication factor is the broker's default. Raises BrokerRefused where it may not be done.
    """
    wanted = list(names)
    missing = [name for name in wanted if name not in find_topics(connection, wanted)]
    if not missing:
        return []
    made = {"num_partitions": partitions, "configs": dict(configs or {})}
    with connection.translated(), connection.admin() as admin:
        try:
            admin.create_topics(dict.fromkeys(missing, made), wait_for_metadata=True)
        except kafka_errors.TopicAlreadyExistsError:
            admin.wait_for_topics(missing)  # another worker was faster
    return missing


def ensure_topics(connection: KafkaConnection, project: str, *, partitions: int | None) -> None:
    """See that all topics of events are there; make them with so many partitions, or with None not.

    Raises SourceMissing.
    """
    wanted = event_topics(project)
    if partitions is not None:
        create_topics(connection, wanted, partitions=partitions)
        return
    found = find_topics(connection, wanted)
    missing = [name for name in wanted if name not in found]
    if missing:
        raise SourceMissing(
            f"no topic {', '.join(missing)} in Kafka at {connection.servers}: make them, or let"
            " `mmga publish FILE --create-topics --partitions 12` do it"
        )


def _exists(found: Mapping[str, Any]) -> bool:
    code: int = found["error_code"]
    if code not in (0, UNKNOWN_TOPIC):
        raise kafka_errors.for_code(code)(found["name"])
    return code == 0


def _id(topic_id: Any) -> str | None:
    return None if topic_id is None else str(topic_id)
