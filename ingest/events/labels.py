"""Labels in a file of their own, turned into events.

A line is `{"user_id" | "post_id", "task", "labels"}`, or `{"user_id", "topic"}` for one label of
the task `topic`. Its event has the file's modification time, and the line's hash as id.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import blake2b
from pathlib import Path

import msgspec

from ingest.errors import EventRejected
from ingest.events.decoding import Decoded, decode
from ingest.events.event import one_line
from ingest.events.values import EPOCH

SOURCE = "mmga/labels"
TOPIC = "topic"


class LabelLine(msgspec.Struct):
    """One line of a file of labels."""

    user_id: str | None = None
    post_id: str | None = None
    task: str | None = None
    labels: list[str] | None = None
    topic: str | None = None
    annotator: str | None = None


_DECODER = msgspec.json.Decoder(LabelLine)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelDecoder:
    """Decodes lines of labels as if they were events of the given time (RFC 3339)."""

    time: str

    @classmethod
    def of(cls, path: Path) -> "LabelDecoder":
        """The decoder of one file, by its modification time."""
        modified = EPOCH + timedelta(microseconds=path.stat().st_mtime_ns // 1000)
        return cls(time=modified.isoformat())

    def __call__(self, lines: Sequence[bytes], now: int, folder: str = "") -> Decoded:
        """Decode and check; indices of rejected lines are those of `lines`. No label has a path."""
        del folder
        events: list[bytes] = []
        indices: list[int] = []
        rejected: list[tuple[int, str]] = []
        for index, line in enumerate(lines):
            try:
                events.append(self.event(line))
                indices.append(index)
            except EventRejected as rejection:
                rejected.append((index, str(rejection)))
        decoded = decode(events, now)
        of_events = [(indices[index], reason) for index, reason in decoded.rejected]
        decoded.rejected = sorted([*rejected, *of_events])
        return decoded

    def event(self, line: bytes) -> bytes:
        """The event of one line; raises EventRejected when the line is not one of labels."""
        try:
            label = _DECODER.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise EventRejected(one_line(str(error))) from None
        event = {
            "specversion": "1.0",
            "id": blake2b(line.strip(), digest_size=16).hexdigest(),
            "source": SOURCE,
            "time": self.time,
            **_type_and_data(label),
        }
        return msgspec.json.encode(event)


def _type_and_data(label: LabelLine) -> dict[str, object]:
    if (label.user_id is None) == (label.post_id is None):
        raise EventRejected("a label needs either a user_id or a post_id")
    if label.topic is not None and label.labels is None and label.task is None:
        task, labels = TOPIC, [label.topic]
    elif label.task is not None and label.labels is not None and label.topic is None:
        task, labels = label.task, label.labels
    else:
        raise EventRejected("a label needs either a task and labels, or a topic")
    subject = {"post_id": label.post_id} if label.user_id is None else {"user_id": label.user_id}
    return {
        "type": "post.labeled" if label.user_id is None else "user.labeled",
        "data": {**subject, "task": task, "labels": labels, "annotator": label.annotator},
    }
