"""Where events come from: the contract of a source."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from graphdb.facts import Position, PositionMove
from ingest.dead_letters.dead_letter import Payload


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A record that cannot be an event, whatever it holds, and why."""

    offset: int
    reason: str
    payload: Payload
    key: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """Consecutive events of one partition: their bytes and their offsets, of equal length.

    `keys` are those of the messages, none where the source has no keys. Applying `move` with the
    events says that all of them, and what is `unreadable` between them, have been read. `is_last`
    says that nothing followed them when they were read.
    """

    lines: list[bytes]
    offsets: list[int]
    move: PositionMove
    keys: Sequence[bytes | None] = ()
    unreadable: Sequence[Unreadable] = ()
    is_last: bool = False

    def __len__(self) -> int:
        return len(self.lines) + len(self.unreadable)

    @property
    def begin(self) -> int:
        """The offset from which on this was read."""
        if self.move.expected is not None:
            return self.move.expected
        offsets = [*self.offsets[:1], *(each.offset for each in self.unreadable)]
        return min(offsets, default=self.move.next.offset)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much of a source has been read and how much there is, in bytes or messages."""

    done: int
    total: int


class Source(Protocol):
    """A stream of events in partitions, read from stored positions on.

    One thread at a time uses it. What is read of several partitions may come in any order; within
    one it comes in the order of its offsets.
    """

    def seek(self, positions: Sequence[Position]) -> None:
        """Go on from the stored positions; a partition without one starts at its beginning.

        Forgets what was read and not committed. Raises SourceChanged when an offset lies outside
        the log or the log is another one; a source that learns this later raises it in `read`.
        """

    def read(self, max_events: int) -> list[Records] | None:
        """The next events, at most so many; none while they are on their way; None at the end.

        At the end means: for now, and a source that is followed has waited for a moment. Raises
        PartitionsMoved until `seek` is called when others than before are to be read;
        BrokerUnreachable, after which reading goes on by itself; SourceChanged.
        """

    def keep_alive(self) -> None:
        """Hold on to the partitions while nothing is read; called about once a second."""

    def committed(self, positions: Sequence[Position]) -> None:
        """Take note of what the graph holds now: a hint for the source's own tools."""

    def earliest(self) -> list[Position]:
        """The beginning of each partition."""

    def at_time(self, time: int) -> list[Position]:
        """The first event at or after a time (microseconds) in each partition, or its end."""

    def extent(self) -> Extent:
        """How far reading has come."""

    def warnings(self) -> list[str]:
        """What a person should know about what is left unread, a line each."""

    def close(self) -> None:
        """Release files and connections."""


@runtime_checkable
class SharedSource(Protocol):
    """A source whose partitions are shared out among the workers of one graph."""

    def join(self, graph_id: str) -> None:
        """Share with the workers of this graph alone; called before the first `seek`.

        `read` and `keep_alive` raise SourceTaken while those of another graph share it.
        """


def silent(_: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSettings:
    """What opening a source needs to know beside its URL.

    With `wait` a source is followed: it may be empty yet, and reading waits `poll_seconds` for
    more. With `keep_going` a file is read whatever it looks like. `note` tells a person, at once,
    what is left out. `kafka` are options of the client.
    """

    project: str = "mmga"
    wait: bool = False
    poll_seconds: float = 0.5
    keep_going: bool = False
    note: Callable[[str], None] = silent
    kafka: Mapping[str, Any]
