"""Events from a file to their topics: which topic, which key, and that they have arrived."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from graphdb.image_reference import FILE, scheme_of
from ingest.errors import EventRejected
from ingest.events.event import parse
from ingest.events.schema import AnyEvent, PostCreated
from ingest.kafka.connection import KafkaConnection
from ingest.kafka.producing import Deliveries
from ingest.kafka.topics import FOLLOWS, KINDS, POSTS, USERS, topic_name
from ingest.sources.archives import BLOCK_BYTES, FileBytes
from ingest.sources.lines import LineReader

LINES_AT_ONCE = 10_000
MAX_BATCH_BYTES = 16 << 20
KIND_OF = {"user": USERS, "post": POSTS, "follow": FOLLOWS}
KEY_FIELDS = {USERS: ("user_id",), POSTS: ("user_id", "post_id"), FOLLOWS: ("follower_id",)}

Route = tuple[str, bytes | None]
"""The kind of topic and the key of a message."""


class _Loose(msgspec.Struct):
    """The fields that give topic and key of a line, whatever else is wrong with it."""

    type: str
    subject: object = None
    data: object = None


_LOOSE = msgspec.json.Decoder(_Loose)


@dataclass(slots=True, kw_only=True)
class Published:
    """What was sent, how much of that is no valid event, and the lines that were not sent.

    `num_paths` are the posts whose image is a path, which belongs to no folder in Kafka.
    """

    num_sent: int = 0
    num_invalid: int = 0
    num_paths: int = 0
    refused: list[int] = field(default_factory=list)


def route(line: bytes) -> Route | None:
    """The kind of topic and the key of an event, valid or not; None when its type is unknown.

    The key is the subject, else the user that acts, else the post.
    """
    try:
        found = _LOOSE.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    kind = KIND_OF.get(found.type.partition(".")[0])
    if kind is None:
        return None
    data = found.data if isinstance(found.data, dict) else {}
    named = (found.subject, *(data.get(name) for name in KEY_FIELDS[kind]))
    key = next((each for each in named if isinstance(each, str) and each), None)
    return kind, None if key is None else key.encode(errors="surrogatepass")


class Publisher:
    """Sends the lines of files to the topics of their types, with a key where there is one.

    A line that is no valid event is sent too, where its type can be read: it is for ingest to
    reject. Lines whose type cannot be read go to the topic of `unreadable_to`, or are refused;
    lines that are larger than a message may be are always refused.
    """

    def __init__(
        self, connection: KafkaConnection, project: str, *, unreadable_to: str | None = None
    ) -> None:
        self._topics = {kind: topic_name(project, kind) for kind in KINDS}
        self._deliveries = Deliveries(connection)
        self._unreadable = None if unreadable_to is None else (unreadable_to, None)

    def publish(self, path: Path, progress: Callable[[Published, int], None]) -> Published:
        """Send a file, and return when all of it is held by all replicas.

        Calls `progress` with what has arrived so far and the bytes read. Sending a file again is
        harmless. Raises BrokerUnreachable, BrokerRefused.
        """
        published = Published()
        refused: list[int] = []
        reader = LineReader(path, 0)
        try:
            while True:
                start = reader.offset
                lines, offsets, too_long = reader.read(LINES_AT_ONCE, MAX_BATCH_BYTES)
                if reader.offset == start:
                    break
                refused += [offset for offset, _ in too_long]
                refused += self._send(lines, offsets, published)
                progress(published, reader.num_stored_bytes_read)
        finally:
            reader.close()
        published.refused = line_numbers(path, sorted(refused))
        return published

    def close(self) -> None:
        """Close the connection."""
        self._deliveries.close()

    def _send(self, lines: list[bytes], offsets: list[int], published: Published) -> list[int]:
        """Send lines and wait for them; return the offsets of those that were refused."""
        refused: list[int] = []
        sent: list[int] = []
        for line, offset in zip(lines, offsets, strict=True):
            found = route(line) or self._unreadable
            if found is None:
                refused.append(offset)
            else:
                self._deliveries.send(self._topics[found[0]], line, found[1])
                sent.append(offset)
                event = parsed(line)
                published.num_invalid += event is None
                published.num_paths += event is not None and names_path(event)
        too_large = self._deliveries.wait()
        published.num_sent += len(sent) - len(too_large)
        return [*refused, *(sent[index] for index in too_large)]


def line_numbers(path: Path, offsets: list[int]) -> list[int]:
    """The numbers, from 1 on, of the lines that start at these ascending offsets."""
    numbers: list[int] = []
    with closing(FileBytes(path, 0)) as file:
        number, at = 1, 0
        for offset in offsets:
            while at < offset:
                block = file.read(min(BLOCK_BYTES, offset - at))
                number += block.count(b"\n")
                at += len(block)
            numbers.append(number)
    return numbers


def parsed(line: bytes) -> AnyEvent | None:
    """The event of a line; None where it is not valid."""
    try:
        return parse(line)
    except EventRejected:
        return None


def names_path(event: AnyEvent) -> bool:
    """Whether an event is a post whose image is a path."""
    if not isinstance(event, PostCreated) or not event.data.image:
        return False
    return scheme_of(event.data.image) == FILE
