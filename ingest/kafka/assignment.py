"""Which partitions the group has given to this worker."""

from collections.abc import Collection
from typing import Any

from kafka import ConsumerRebalanceListener


class Assignment(ConsumerRebalanceListener):  # type: ignore[misc] # the client has no types
    """Counts the assignments of partitions, called in the client's own thread, and does no more.

    A new partition is paused at an offset that is never read: the positions are in the graph, and
    the reader has to seek to them first.
    """

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self.number = 0
        """How many assignments there have been."""

    def on_partitions_revoked(self, revoked: Collection[Any]) -> None:
        """See the client; what was read of them is dropped at the next assignment.

        The client (3.0) drops a join that outlasts one poll where a change of topics or partitions
        caused it: the worker would stay in the group and never read again. So the join is
        requested until it is complete, which the client has no public call for.
        """
        self._consumer._coordinator.request_rejoin()

    def on_partitions_assigned(self, assigned: Collection[Any]) -> None:
        """See the client."""
        for partition in assigned:
            self._consumer.pause(partition)
            self._consumer.seek(partition, 0)
        self.number += 1

    def on_partitions_lost(self, lost: Collection[Any]) -> None:
        """See the client; an assignment follows."""
