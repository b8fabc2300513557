"""The bytes of a file as its lines have them: archives are decompressed while they are read.

What a file is, its first bytes say, whatever its name. An archive may have several members (gzip)
or frames (zstd), one after the other.
"""

import gzip
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Protocol

from ingest.errors import ArchiveBroken

BLOCK_BYTES = 1 << 20
WINDOW_LOG = 31
"""The largest window of zstd, 2 GB: dumps of crawls are often written with `--long=31`."""

MAGIC_BYTES = 4
GZIP = b"\x1f\x8b"
ZSTD = b"\x28\xb5\x2f\xfd"
ZSTD_SKIPPABLE = b"\x2a\x4d\x18"
SUFFIXES = (".gz", ".zst")


class Stream(Protocol):
    """What is read of bytes that are decompressed."""

    def read1(self, size: int, /) -> bytes:
        """At most so many bytes, as few as there are at once; none at the end."""


class FileBytes:
    """The bytes of a file from an offset on; of an archive, those that it holds.

    Raises ArchiveBroken, from `read` too, where an archive is cut short or damaged.
    """

    def __init__(self, path: Path, offset: int) -> None:
        self._path = path
        self._raw = path.open("rb")
        self._errors: tuple[type[Exception], ...] = ()
        try:
            self._stream = self._open()
            if self.is_archive:
                self._skip(offset)
            else:
                self._raw.seek(offset)
        except BaseException:
            self._raw.close()
            raise

    @property
    def is_archive(self) -> bool:
        """Whether the bytes are decompressed."""
        return self._stream is not self._raw

    @property
    def size(self) -> int:
        """How long the file itself is now."""
        return os.fstat(self._raw.fileno()).st_size

    @property
    def num_stored_bytes_read(self) -> int:
        """How far the file itself has been read."""
        return self._raw.tell()

    def read(self, size: int = BLOCK_BYTES) -> bytes:
        """The next bytes, as many as come at once; none at the end."""
        try:
            return self._stream.read1(size)
        except self._errors as error:
            raise ArchiveBroken(
                f"{self._path} is an archive that is cut short or damaged ({error}): get it again"
                " and run the same command; what it held before that place is kept"
            ) from error

    def seek(self, offset: int) -> None:
        """Go to an offset of a file that is no archive."""
        self._raw.seek(offset)

    def close(self) -> None:
        """Close the file."""
        self._raw.close()

    def _open(self) -> Stream:
        start = self._raw.read(MAGIC_BYTES)
        self._raw.seek(0)
        opener = opener_of(start)
        if opener is not None:
            stream, self._errors = opener(self._raw, self._path)
            return stream
        if start and self._path.suffix in SUFFIXES:
            raise ArchiveBroken(
                f"{self._path} does not begin as an archive of its name does: get it again, or name"
                " it .jsonl where it is not compressed"
            )
        return self._raw

    def _skip(self, left: int) -> None:
        while left and (block := self.read(min(left, BLOCK_BYTES))):
            left -= len(block)
        if left:
            raise ArchiveBroken(
                f"{self._path} ends {left:,} bytes before the place up to which it was read: to"
                f" read it again, run `mmga ingest --events {self._path} --from earliest`"
            )


Opened = tuple[Stream, tuple[type[Exception], ...]]


def opener_of(start: bytes) -> Callable[[IO[bytes], Path], Opened] | None:
    """What decompresses a file that begins so; None where it is no archive that we read."""
    if start.startswith(GZIP):
        return _gzip
    if start.startswith(ZSTD) or (start[1:].startswith(ZSTD_SKIPPABLE) and start[0] >> 4 == 5):
        return _zstd
    return None


def _gzip(raw: IO[bytes], _: Path) -> Opened:
    return gzip.GzipFile(fileobj=raw), (EOFError, gzip.BadGzipFile, zlib.error)


def _zstd(raw: IO[bytes], path: Path) -> Opened:
    try:
        from backports import zstd
    except ImportError as error:
        raise ArchiveBroken(
            f"{path} is a zstd archive, which needs another package: pip install 'mmga[ingest]'"
        ) from error
    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: WINDOW_LOG}
    return zstd.ZstdFile(raw, options=options), (EOFError, zstd.ZstdError)
