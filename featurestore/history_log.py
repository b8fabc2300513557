"""The open end of a view's history: rows are in a log, on the disk, before they are served.

A log is a file of frames, one an append: length and CRC-32 (each 4 bytes, little-endian), then the
rows as an Arrow stream whose schema names the slice. A frame that a kill cut short is not there for
a reader, and the next writer cuts it off. Logs are numbered; what is settled, which means served
and behind the watermark, is compacted into parquet files, and the logs in them are dropped.
"""

import json
import logging
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from struct import Struct

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from featurestore.errors import HistoryUnwritable
from featurestore.history_files import HistoryFiles
from featurestore.history_rows import Slice, as_table
from featurestore.online.values import Column
from foundation.durable_files import flush, sync

COMPACT_BYTES = 32 * 1024 * 1024
COMPACT_SECONDS = 600.0
"""A log of that size is followed by another; what is settled is compacted at that size or age."""
FRAME = Struct("<II")
SLICE = b"slice"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """One append: its slice, and its rows as the history has them."""

    piece: Slice
    rows: pa.Table


def read_log(path: Path) -> Iterator[tuple[int, Logged]]:
    """The whole frames of a log, each with the offset of its end. Raises FileNotFoundError."""
    content = memoryview(path.read_bytes())
    start = 0
    while start + FRAME.size <= len(content):
        length, checksum = FRAME.unpack_from(content, start)
        start += FRAME.size
        payload = content[start : start + length]
        if len(payload) < length or zlib.crc32(payload) != checksum:
            return
        start += length
        with pa.ipc.open_stream(pa.py_buffer(payload)) as stream:
            rows = stream.read_all()
        piece = Slice(**json.loads(rows.schema.metadata[SLICE]))
        yield start, Logged(piece=piece, rows=rows.replace_schema_metadata(None))


def frame_of(logged: Logged) -> bytes:
    """The bytes of one append."""
    name = json.dumps(asdict(logged.piece)).encode()
    sink = pa.BufferOutputStream()
    rows = logged.rows.replace_schema_metadata({SLICE: name})
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_table(rows)
    payload = sink.getvalue().to_pybytes()
    return FRAME.pack(len(payload), zlib.crc32(payload)) + payload


class HistoryLog:
    """The log of a view, for the one process that appends to it.

    Opening cuts off what a kill has left. Raises HistoryUnwritable, FormatRefused.
    """

    def __init__(self, files: HistoryFiles) -> None:
        self._files = files
        self._pieces: set[Slice] = set()
        self._path: Path | None = None
        self._end = 0
        self._num_bytes = 0
        self._began = time.monotonic()
        self._is_settled = False
        with translated(self._files):
            files.mark_format()
            files.drop_leftovers()
            for path in files.logs():
                self._open_again(path)

    def append(
        self,
        piece: Slice,
        user_ids: Sequence[str],
        features: Mapping[str, Column],
        *,
        event_times: NDArray[np.int64],
        commit_time: int,
    ) -> bool:
        """Put B rows on the disk, as `History.append` does; False if the slice was there before."""
        if not len(user_ids) or piece in self._pieces or self._files.has_rebuilt(piece):
            return False
        rows = as_table(user_ids, features, event_times, commit_time)
        with translated(self._files):
            self._write(frame_of(Logged(piece=piece, rows=rows)))
        self._pieces.add(piece)
        self._is_settled = False
        return True

    def beyond(self, graph_id: str, since: int, head: int) -> Iterator[Logged]:
        """What was appended of the versions of a graph from behind `since` up to its head."""
        if not any(piece.graph_id == graph_id and piece.version > since for piece in self._pieces):
            return
        for path in self._files.logs():
            for _, logged in read_log(path):
                if logged.piece.graph_id == graph_id and since < logged.piece.version <= head:
                    yield logged

    def settle(self) -> None:
        """All that was appended is served and behind the watermark: compact it when it is due."""
        self._is_settled = True
        age = time.monotonic() - self._began
        if self._pieces and (self._num_bytes >= COMPACT_BYTES or age >= COMPACT_SECONDS):
            self._compact()

    def close(self) -> None:
        """Compact what is settled; where that fails it stays in the log, and nothing is lost."""
        if self._is_settled and self._pieces:
            try:
                self._compact()
            except HistoryUnwritable as error:
                logger.warning("the history stays in its log: %s", error)

    def _compact(self) -> None:
        with translated(self._files):
            for path in self._files.logs():
                frames = [logged for _, logged in read_log(path)]
                rebuilt = [logged.piece for logged in frames if logged.piece.since < 0]
                self._files.compact(path, [logged.rows for logged in frames], rebuilt)
        self._pieces.clear()
        self._path, self._num_bytes, self._began = None, 0, time.monotonic()

    def _open_again(self, path: Path) -> None:
        frames = list(read_log(path))
        end = frames[-1][0] if frames else 0
        self._pieces.update(logged.piece for _, logged in frames)
        if end < path.stat().st_size:
            with path.open("r+b") as file:
                file.truncate(end)
                flush(file)
        self._path, self._end = path, end
        self._num_bytes += end

    def _write(self, frame: bytes) -> None:
        """Append a frame and flush it; where that fails, the log ends where it did before."""
        if self._path is None or self._end >= COMPACT_BYTES:
            if not self._pieces:
                self._began = time.monotonic()
            self._path, self._end = self._files.next_log(), 0
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.touch()
            sync(self._path.parent)
        with self._path.open("r+b") as file:
            file.seek(self._end)
            try:
                file.write(frame)
                flush(file)
            except OSError:
                file.truncate(self._end)
                raise
        self._end += len(frame)
        self._num_bytes += len(frame)


@contextmanager
def translated(files: HistoryFiles) -> Iterator[None]:
    """Translate errors of the disk into one line each."""
    try:
        yield
    except OSError as error:
        raise HistoryUnwritable(
            f"the history cannot be written at {error.filename or files.folder}:"
            f" {error.strerror or error}; make room, or make it writable"
        ) from error
