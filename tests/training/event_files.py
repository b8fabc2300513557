"""The points in a TensorBoard event file."""

import struct
from pathlib import Path

from tensorboardX.proto.event_pb2 import Event


def drawn(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """The points of each curve. TFRecord: length (8 bytes), checksum (4), event, checksum (4)."""
    found: dict[str, list[tuple[int, float]]] = {}
    (path,) = folder.iterdir()
    content = path.read_bytes()
    while content:
        (length,) = struct.unpack_from("<Q", content)
        event = Event.FromString(content[12 : 12 + length])
        for value in event.summary.value:
            found.setdefault(value.tag, []).append((event.step, value.simple_value))
        content = content[16 + length :]
    return found
