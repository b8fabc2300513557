"""Dead letters: the events that could not be applied, why, and where they stood.

A batch's dead letters are kept for good before the batch commits, so a crash in between keeps them
twice: they are identified by their position, and readers take the newest of each. Those of files
are one JSON object a line in `dead_letters.jsonl`; those of Kafka are messages of a topic
(`ingest.kafka.dead_letters`).
"""

import base64
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

MAX_PAYLOAD_BYTES = 256 * 1024


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

    `key` is that of the message, None where there was none.
    """

    reason: str
    source: str
    partition: int
    offset: int
    payload: Payload
    recorded_at: int
    key: bytes | None = None

    @property
    def position(self) -> tuple[str, int, int]:
        """What identifies it."""
        return self.source, self.partition, self.offset

    def document(self) -> dict[str, Any]:
        """As it is kept and listed: text where the bytes are text, base64 where they are not."""
        document: dict[str, Any] = {
            "reason": self.reason,
            "source": self.source,
            "partition": self.partition,
            "offset": self.offset,
            "recorded_at": self.recorded_at,
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
        return document


class DeadLetters(Protocol):
    """Where dead letters are kept. Several processes may append."""

    def append(self, letters: Sequence[DeadLetter]) -> None:
        """Keep dead letters for good before returning.

        Raises DeadLettersUnwritable; BrokerUnreachable, after which it may be called again.
        """

    def read(self) -> list[DeadLetter]:
        """The newest of each position, in the order in which positions were first seen."""

    def count(self) -> int:
        """The number of distinct positions."""

    def settle(self, letters: Sequence[DeadLetter]) -> None:
        """Forget dead letters whose events have been sent again."""

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
    )
