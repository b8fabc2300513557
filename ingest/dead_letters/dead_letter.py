"""Dead letters: the events that could not be applied, why, and where they stood.

A batch's dead letters are kept for good before the batch commits, so a crash in between keeps them
twice: they are identified by their position, and readers take the newest of each. Those of files
are one JSON object a line in `dead_letters.jsonl`; those of Kafka are messages of a topic
(`ingest.kafka.dead_letters`). Both are logs: that a dead letter is settled is appended too.
"""

import base64
import hashlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

MAX_PAYLOAD_BYTES = 256 * 1024

Place = tuple[str, int, int]
"""Source, partition and offset: what identifies a dead letter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """The original bytes of an event, of which what exceeds 256 KB is cut off.

    `length` and `sha256` are of the whole; `sha256` is None when nothing was cut.
    """

    content: bytes
    length: int
    sha256: str | None = None

    @property
    def is_cut(self) -> bool:
        """Whether the content is not the whole."""
        return self.length > len(self.content)

    @classmethod
    def of(cls, original: bytes) -> "Payload":
        """Cut what is too long."""
        if len(original) <= MAX_PAYLOAD_BYTES:
            return cls(content=original, length=len(original))
        digest = hashlib.sha256(original).hexdigest()
        return cls(content=original[:MAX_PAYLOAD_BYTES], length=len(original), sha256=digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """An event that was rejected; `recorded_at` is in microseconds.

    `key` is that of the message, None where there was none. A line of labels has the time that its
    events bear (RFC 3339) as `labels_time`; for events it is None.
    """

    reason: str
    source: str
    partition: int
    offset: int
    payload: Payload
    recorded_at: int
    key: bytes | None = None
    labels_time: str | None = None

    @property
    def position(self) -> Place:
        """What identifies it."""
        return self.source, self.partition, self.offset

    @property
    def decoder(self) -> str:
        """What judged it: `events` or `labels`."""
        return "events" if self.labels_time is None else "labels"

    def without_payload(self) -> "DeadLetter":
        """The same without its bytes, for whoever only counts."""
        return replace(self, payload=Payload(content=b"", length=self.payload.length))

    def document(self) -> dict[str, Any]:
        """As it is kept and listed: text where the bytes are text, base64 where they are not."""
        document: dict[str, Any] = {
            "reason": self.reason,
            "source": self.source,
            "partition": self.partition,
            "offset": self.offset,
            "recorded_at": self.recorded_at,
            "decoder": self.decoder,
            "length": self.payload.length,
        }
        try:
            document["text"] = self.payload.content.decode()
        except UnicodeDecodeError:
            document["base64"] = base64.b64encode(self.payload.content).decode()
        if self.payload.sha256 is not None:
            document["sha256"] = self.payload.sha256
        if self.key is not None:
            document["key"] = self.key.decode(errors="backslashreplace")
        if self.labels_time is not None:
            document["labels_time"] = self.labels_time
        return document


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """The dead letters of a position that were recorded until `settled_at` are settled.

    Their event was read again without rejection, was sent again, or was given up by a person.
    `settled_at` is in microseconds.
    """

    source: str
    partition: int
    offset: int
    settled_at: int

    @property
    def position(self) -> Place:
        """Which dead letters it settles."""
        return self.source, self.partition, self.offset

    @classmethod
    def of(cls, letter: DeadLetter) -> "Settlement":
        """Settles a dead letter, and none that is recorded later at its position."""
        return cls(
            source=letter.source,
            partition=letter.partition,
            offset=letter.offset,
            settled_at=letter.recorded_at,
        )


def standing(log: Iterable[DeadLetter | Settlement]) -> list[DeadLetter]:
    """The newest of each position that is not settled, in the order in which they were seen."""
    newest: dict[Place, DeadLetter] = {}
    for entry in log:
        if isinstance(entry, DeadLetter):
            newest[entry.position] = entry
        elif (found := newest.get(entry.position)) and found.recorded_at <= entry.settled_at:
            del newest[entry.position]
    return list(newest.values())


def positions_of(log: Iterable[DeadLetter | Settlement]) -> set[Place]:
    """The positions of those that stand, in memory that does not grow with their bytes."""
    light = (each.without_payload() if isinstance(each, DeadLetter) else each for each in log)
    return {letter.position for letter in standing(light)}


class DeadLetters(Protocol):
    """Where dead letters are kept. Several processes may append."""

    def append(self, letters: Sequence[DeadLetter]) -> None:
        """Keep dead letters for good before returning.

        Raises DeadLettersUnwritable; BrokerUnreachable, after which it may be called again.
        """

    def read(self) -> list[DeadLetter]:
        """The newest of each position, in the order in which positions were first seen."""

    def positions(self) -> set[Place]:
        """The distinct positions."""

    def count(self) -> int:
        """The number of distinct positions."""

    def settle(self, settlements: Sequence[Settlement]) -> None:
        """Forget dead letters for good before returning; raises as `append` does."""

    def trim(self, older_than: int) -> int:
        """Drop dead letters recorded before `older_than` (microseconds); return how many."""


def rejected(
    reason: str,
    source: str,
    partition: int,
    offset: int,
    payload: Payload,
    *,
    key: bytes | None = None,
    labels_time: str | None = None,
) -> DeadLetter:
    """A dead letter of this moment."""
    return DeadLetter(
        reason=reason,
        source=source,
        partition=partition,
        offset=offset,
        payload=payload,
        recorded_at=time.time_ns() // 1000,
        key=key,
        labels_time=labels_time,
    )
