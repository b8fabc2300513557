"""Curves as TensorBoard event files."""

import struct
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.summary_pb2 import Summary

from training.engine.tracking.tracker import Line, curves

LENGTH_BYTES, CHECKSUM_BYTES = 8, 4


class TensorBoard:
    """Writes one event a step, so that a step is there with all its curves or not at all."""

    name = "TensorBoard"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.last = -1
        self._writer: Any = None

    def open(self) -> None:
        """Continue after the last whole step of earlier files, in a file of our own."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.last = max((event.step for event in events(self.folder)), default=-1)
        suffix = f".{time.time_ns()}"  # files of one second keep their order
        self._writer = EventsWriter(str(self.folder / "events"), suffix)

    def write(self, lines: Sequence[Line]) -> None:
        """Append the steps that are new."""
        for line in lines:
            if line["step"] > self.last:
                self._writer.write_event(event_of(line))
                self.last = line["step"]
        self._writer.flush()

    def close(self, *, completed: bool) -> None:
        """Close the file."""
        del completed
        self._writer.close()


def event_of(line: Line) -> Any:
    """All points of one step as one event."""
    points = curves(line).items()
    values = [Summary.Value(tag=name, simple_value=value) for name, value in points]
    return Event(wall_time=time.time(), step=line["step"], summary=Summary(value=values))


def events(folder: Path) -> Iterator[Any]:
    """The events with curves of all files of a folder; an end that a kill left torn is passed over.

    TFRecord: length (8 bytes), its checksum, the event, its checksum.
    """
    for path in sorted(folder.glob("events.*")):
        with path.open("rb") as file:
            while len(header := file.read(LENGTH_BYTES + CHECKSUM_BYTES)) == 12:
                (length,) = struct.unpack_from("<Q", header)
                body = file.read(length + CHECKSUM_BYTES)
                if len(body) < length + CHECKSUM_BYTES:
                    break
                try:
                    event = Event.FromString(body[:length])
                except DecodeError:
                    break
                if event.HasField("summary"):
                    yield event
