"""The bytes of one file, bounded whatever it holds; `.xz` is decompressed."""

import lzma
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ingest.instaloader.skipped import NotUsed

MAX_JSON_BYTES = 64 << 20
"""Far above a post's metadata (some 100 KB), enough for a list of 200,000 follows."""

MAX_XZ_MEMORY_BYTES = 96 << 20
"""What decompression at the highest preset of xz needs (65 MiB), and some room."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
TOO_LARGE = f"files of more than {MAX_JSON_BYTES >> 20} MiB of JSON"
DAMAGED = "damaged .xz files"
UNREADABLE = "files that cannot be read"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenFile:
    """A regular file that is open, its size, and its modification time in microseconds."""

    file: BinaryIO
    num_bytes: int
    modified: int


@contextmanager
def opened(path: Path) -> Iterator[OpenFile]:
    """Open a regular file, following no link and waiting for no writer; raises NotUsed."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise NotUsed(UNREADABLE, "it is not a regular file")
            modified = status.st_mtime_ns // 1000
            yield OpenFile(file=file, num_bytes=status.st_size, modified=modified)
    except OSError as error:
        raise NotUsed(UNREADABLE, error.strerror or str(error)) from error


def json_bytes(open_file: OpenFile, *, is_compressed: bool) -> bytes:
    """The JSON of a file; raises NotUsed when it is too large or damaged."""
    content = _bounded(open_file.file.read(min(open_file.num_bytes, MAX_JSON_BYTES) + 1))
    if is_compressed:
        content = _decompressed(content)
    return content.removeprefix(BYTE_ORDER_MARK)


def _decompressed(content: bytes) -> bytes:
    decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_XZ_MEMORY_BYTES)
    try:
        plain = _bounded(decompressor.decompress(content, MAX_JSON_BYTES + 1))
    except lzma.LZMAError as error:
        raise NotUsed(DAMAGED, str(error)) from error
    if not decompressor.eof:
        raise NotUsed(DAMAGED, "it ends too early")
    if decompressor.unused_data:
        raise NotUsed(DAMAGED, "something follows the compressed data")
    return plain


def _bounded(content: bytes) -> bytes:
    if len(content) > MAX_JSON_BYTES:
        raise NotUsed(TOO_LARGE)
    return content
