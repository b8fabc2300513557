"""The consumer group of a project: it belongs to the workers of one graph.

Workers of two graphs in one group would each get a part of the partitions, and each graph a part of
the events. So the name of the way in which partitions are assigned holds the graph's id: a broker
lets nobody join a group who does not share one with all of its members.
"""

from contextlib import suppress
from typing import Any

from kafka import errors as kafka_errors
from kafka.coordinator.assignors.range import RangePartitionAssignor

from ingest.errors import IngestError, SourceTaken
from ingest.kafka.connection import KafkaConnection

PREFIX = "mmga-graph-"


class GraphAssignor(RangePartitionAssignor):  # type: ignore[misc] # the client has no types
    """Ranges of partitions, among the workers of one graph; without one, among any."""

    def __init__(self, graph_id: str | None = None) -> None:
        self.name = f"{PREFIX}{graph_id}" if graph_id else RangePartitionAssignor.name


def use_assignor(consumer: Any, assignor: GraphAssignor) -> None:
    """Replace a consumer's assignor before it joins its group.

    The client asks for the name when it is made, before the graph is open, and has no public call
    for another one.
    """
    consumer._coordinator._assignors = {assignor.name: assignor}


def taken(connection: KafkaConnection, group: str) -> SourceTaken:
    """The group has members that do not share with us: who they are, and what to do."""
    return SourceTaken(
        f"consumer group {group} of Kafka at {connection.servers} is in use by"
        f" {_members(connection, group)}: give this graph another MMGA_PROJECT, or stop the others"
        " (one that was killed is forgotten after a minute)"
    )


def _members(connection: KafkaConnection, group: str) -> str:
    with suppress(kafka_errors.KafkaError, IngestError, KeyError), connection.admin() as admin:
        found = admin.describe_groups([group])[group]
        hosts = sorted({member["client_host"].lstrip("/") for member in found["members"]})
        by = f" (workers on {', '.join(hosts)})" if hosts else ""
        name: str = found["protocol_data"]
        if name.startswith(PREFIX):
            return f"graph {name.removeprefix(PREFIX)}{by}"
        return f"another {'program' if name else 'graph or program'}{by}"  # none while they join
    return "others"
