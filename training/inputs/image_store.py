"""Stores images that have been read: an index of outcomes, and JPEGs in append-only files.

Bytes are flushed before the index refers to them. After a crash a file may end in unreferenced
bytes; the next ones are appended after them. One process writes (the caller holds the lock).
"""

import os
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Literal

from training.errors import PostInputsUnusable
from training.inputs.image_decoding import ImageLimits, bounded_jpeg
from training.inputs.image_errors import ImageRefused, ImageUnavailable
from training.inputs.image_report import ImageReport
from training.inputs.image_sources import ImageSources

FORMAT_VERSION = 1
MAX_BLOB_BYTES = 2**30
NUM_READERS = 4
COMMIT_EVERY = 64
FIRST_RETRY_SECONDS = 60
LAST_RETRY_SECONDS = 24 * 3600

SCHEMA = """
CREATE TABLE IF NOT EXISTS contents (
    content_id INTEGER PRIMARY KEY AUTOINCREMENT,
    digest BLOB NOT NULL UNIQUE,
    blob_file INTEGER NOT NULL,
    start INTEGER NOT NULL,
    length INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS images (
    image_key BLOB PRIMARY KEY,
    status TEXT NOT NULL,
    reason TEXT NOT NULL,
    policy TEXT NOT NULL,
    content_id INTEGER,
    attempts INTEGER NOT NULL,
    retry_at REAL NOT NULL
) WITHOUT ROWID;
"""

Status = Literal["ok", "missing", "pending"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The outcome of reading one image; the JPEG if it is ok."""

    status: Status
    reason: str = ""
    jpeg: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptImage:
    """An image that is ok: its content's number in this store and a hash of the content."""

    content_id: int
    content_hash: int


class ImageStore:
    """The kept images of one home; made by `open_image_store`."""

    def __init__(self, folder: Path, connection: sqlite3.Connection) -> None:
        self.folder = folder
        self.connection = connection

    def catch_up(
        self,
        references: Sequence[str],
        sources: ImageSources,
        limits: ImageLimits,
        *,
        now: float | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> int:
        """Read the images that were never read or are due again; return their number.

        Ok is final. Pending is due after its back-off, missing after a change of the settings.
        """
        now = time.time() if now is None else now
        policy = f"{sorted(sources.schemes)} {limits}"
        due = self.due(references, sources, policy, now)
        with ThreadPoolExecutor(NUM_READERS) as readers:
            waiting = iter(due.items())
            num_done = 0
            while group := dict(islice(waiting, COMMIT_EVERY)):
                outcomes = readers.map(partial(read, sources, limits), group.values())
                self.record(list(zip(group, outcomes, strict=True)), policy, now)
                num_done += len(group)
                if progress is not None:
                    progress(num_done, len(due))
        return len(due)

    def due(
        self, references: Sequence[str], sources: ImageSources, policy: str, now: float
    ) -> dict[bytes, str]:
        """Keys and references of the images to read now."""
        wanted = {image_key(sources, reference): reference for reference in references}
        rows = self.connection.execute("SELECT image_key, status, policy, retry_at FROM images")
        for key, status, known_policy, retry_at in rows:
            waits = status == "pending" and retry_at > now
            if status == "ok" or waits or (status == "missing" and known_policy == policy):
                wanted.pop(key, None)
        return wanted

    def record(self, outcomes: Sequence[tuple[bytes, Outcome]], policy: str, now: float) -> None:
        """Flush the JPEGs, then commit the index."""
        with self.connection:
            self.connection.execute("BEGIN IMMEDIATE")
            content_ids = self.append([outcome.jpeg for _, outcome in outcomes if outcome.jpeg])
            kept = iter(content_ids)
            for key, outcome in outcomes:
                self.connection.execute(
                    "INSERT INTO images VALUES (?, ?, ?, ?, ?, 1, ?) ON CONFLICT DO UPDATE SET"
                    " status = excluded.status, reason = excluded.reason,"
                    " policy = excluded.policy, content_id = excluded.content_id,"
                    " attempts = attempts + 1,"
                    " retry_at = ? + min(?, ? * (1 << 2 * min(attempts, 10)))",
                    (
                        *(key, outcome.status, outcome.reason, policy),
                        *(next(kept) if outcome.jpeg else None, now + FIRST_RETRY_SECONDS),
                        *(now, LAST_RETRY_SECONDS, FIRST_RETRY_SECONDS),
                    ),
                )

    def append(self, jpegs: Sequence[bytes]) -> list[int]:
        """Append JPEGs that are new to the newest blob file; the content ids of all."""
        path, number = self.blob_to_extend()
        content_ids = []
        with path.open("ab") as blob:
            for jpeg in jpegs:
                digest = blake2b(jpeg, digest_size=16).digest()
                known = self.connection.execute(
                    "SELECT content_id FROM contents WHERE digest = ?", (digest,)
                ).fetchone()
                if known is None:
                    row = (digest, number, blob.tell(), len(jpeg))
                    blob.write(jpeg)
                    known = self.connection.execute(
                        "INSERT INTO contents (digest, blob_file, start, length)"
                        " VALUES (?, ?, ?, ?) RETURNING content_id",
                        row,
                    ).fetchone()
                content_ids.append(int(known[0]))
            blob.flush()
            os.fsync(blob.fileno())
        return content_ids

    def blob_to_extend(self) -> tuple[Path, int]:
        """The newest blob file, or a new one when it is full."""
        numbers = [int(path.stem) for path in self.folder.glob("*.blob")]
        number = max(numbers, default=0)
        path = self.folder / f"{number:06d}.blob"
        if path.exists() and path.stat().st_size >= MAX_BLOB_BYTES:
            number += 1
            path = self.folder / f"{number:06d}.blob"
        return path, number

    def kept(self, references: Sequence[str], sources: ImageSources) -> list[KeptImage | None]:
        """For each reference its kept image, None where it is missing or pending."""
        rows = self.connection.execute(
            "SELECT image_key, content_id, digest FROM images JOIN contents USING (content_id)"
        )
        found = {
            key: KeptImage(content_id=content_id, content_hash=content_hash(digest))
            for key, content_id, digest in rows
        }
        return [found.get(image_key(sources, reference)) for reference in references]

    def report(
        self, references: Sequence[str], sources: ImageSources, *, num_read: int
    ) -> ImageReport:
        """Outcomes of the distinct images among the references."""
        wanted = {image_key(sources, reference) for reference in references}
        rows = self.connection.execute("SELECT image_key, status, reason FROM images")
        counts = Counter((status, reason) for key, status, reason in rows if key in wanted)
        by_status: dict[str, dict[str, int]] = {"ok": {}, "missing": {}, "pending": {}}
        for (status, reason), number in sorted(counts.items()):
            by_status[status][reason] = number
        return ImageReport(
            num_ok=sum(by_status["ok"].values()),
            missing=by_status["missing"],
            pending=by_status["pending"],
            num_read=num_read,
        )

    def jpegs(self, content_ids: Sequence[int]) -> Iterator[bytes]:
        """The kept JPEGs of contents, in the order asked."""
        for content_id in content_ids:
            number, start, length = self.connection.execute(
                "SELECT blob_file, start, length FROM contents WHERE content_id = ?", (content_id,)
            ).fetchone()
            with (self.folder / f"{number:06d}.blob").open("rb") as blob:
                blob.seek(start)
                yield blob.read(length)


@contextmanager
def open_image_store(folder: Path) -> Iterator[ImageStore]:
    """The image store of a folder, made when it is not there. Raises PostInputsUnusable."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(folder / "images.db", isolation_level=None)
    except (OSError, sqlite3.Error) as error:
        raise PostInputsUnusable(f"{folder} cannot be used ({error}): make it writable") from error
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > FORMAT_VERSION:
            raise PostInputsUnusable(
                f"{folder} has format {version}, this software reads {FORMAT_VERSION}: upgrade it"
            )
        connection.executescript(SCHEMA)
        connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
        yield ImageStore(folder, connection)
    except sqlite3.Error as error:
        raise PostInputsUnusable(
            f"{folder / 'images.db'} cannot be used ({error}): delete {folder} to read images again"
        ) from error
    finally:
        connection.close()


def image_key(sources: ImageSources, reference: str) -> bytes:
    """A key of 16 bytes for the canonical name of an image."""
    located = sources.locate(reference).encode("utf-8", "surrogatepass")
    return blake2b(located, digest_size=16).digest()


def content_hash(digest: bytes) -> int:
    """64 bits of a content's digest, never 0 (0 says that there is no image)."""
    return int.from_bytes(digest[:8], "little") or 1


def read(sources: ImageSources, limits: ImageLimits, reference: str) -> Outcome:
    """Fetch and decode one image."""
    try:
        return Outcome(status="ok", jpeg=bounded_jpeg(sources.read(reference), limits))
    except ImageRefused as error:
        return Outcome(status="missing", reason=error.reason)
    except ImageUnavailable as error:
        return Outcome(status="pending", reason=error.reason)
