"""Stores images that have been read: an index of outcomes, and JPEGs in append-only files.

An image is kept under its name, with the stamp of the file that was read, so that a file that has
changed is read again. What was read once stays until something else was read in its place.

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
from typing import Literal, NamedTuple

from foundation.format_version import POST_INPUTS
from foundation.image_report import ImageReport
from training.errors import PostInputsUnusable
from training.inputs.image_decoding import ImageLimits, bounded_jpeg, return_freed_memory
from training.inputs.image_errors import PASSING, ImageRefused, ImageUnavailable
from training.inputs.image_sources import ELSEWHERE, ImageSources
from training.inputs.pixel_budget import PixelBudget

MAX_BLOB_BYTES = 2**30
NUM_READERS = 4
COMMIT_EVERY = 64
MAX_TRIES = 4
"""How often bytes that may have been incomplete are read while they do not change."""
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
    stamp TEXT,
    content_id INTEGER,
    attempts INTEGER NOT NULL,
    retry_at REAL NOT NULL
) WITHOUT ROWID;
"""

WRITE_OUTCOME = """
INSERT INTO images VALUES (:key, :status, :reason, :policy, :stamp, :content_id, 1,
    :now + :first)
ON CONFLICT DO UPDATE SET
    status = CASE WHEN coalesce(:content_id, content_id) IS NULL THEN :status ELSE 'ok' END,
    reason = :reason, policy = :policy, stamp = :stamp,
    content_id = coalesce(:content_id, content_id),
    attempts = CASE WHEN stamp IS :stamp THEN attempts + 1 ELSE 1 END,
    retry_at = :now + min(:last, :first * (1 << 2 * min(attempts, 10)))"""

Status = Literal["ok", "missing", "pending"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The outcome of reading one image, and the stamp of its file; the JPEG if it is ok."""

    status: Status
    stamp: str | None
    reason: str = ""
    jpeg: bytes = b""


class Known(NamedTuple):
    """What the index holds of one image; an ok one with a reason could not be read again."""

    status: Status
    reason: str
    policy: str
    stamp: str | None
    attempts: int
    retry_at: float

    def is_due(self, stamp: str | None, policy: str, now: float) -> bool:
        """Whether to read the image again; `stamp` is that of its file now, None on the web."""
        if stamp is None:
            may_pass = self.status == "pending" or self._may_pass
            return (may_pass and self.retry_at <= now) or self._depends(policy)
        if self.status == "ok" and (not stamp or self._is_elsewhere(stamp)):
            return False
        changed = stamp != self.stamp or self.status == "pending"
        return changed or self._may_pass or self._depends(policy)

    @property
    def _may_pass(self) -> bool:
        """Whether the bytes may have been incomplete, and were not tried often."""
        return self.reason in PASSING and self.attempts < MAX_TRIES

    def _is_elsewhere(self, stamp: str) -> bool:
        """Whether the file that was read is gone, and another root has one of its name."""
        return stamp.startswith(ELSEWHERE) and not (self.stamp or "").startswith(ELSEWHERE)

    def _depends(self, policy: str) -> bool:
        """Whether it was refused under other settings."""
        return self.status == "missing" and self.policy != policy


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
        retry: bool = False,
        now: float | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> int:
        """Read the images that were never read or are due again; return their number.

        Files are due when they change and while they are not there; addresses on the web after
        their back-off. What was refused is due after a change of the settings, and a few times
        where its bytes may have been incomplete. With `retry` all images are due.
        """
        now = time.time() if now is None else now
        policy = f"{sources.policy} {limits}"
        due = self.due(references, sources, policy, now, retry=retry)
        budget = PixelBudget(limits.max_decoding_bytes)
        return_freed_memory()
        with ThreadPoolExecutor(NUM_READERS) as readers:
            waiting = iter(due.items())
            num_done = 0
            while group := dict(islice(waiting, COMMIT_EVERY)):
                outcomes = readers.map(partial(read, sources, limits, budget), group.values())
                self.record(list(zip(group, outcomes, strict=True)), policy, now)
                num_done += len(group)
                if progress is not None:
                    progress(num_done, len(due))
        return len(due)

    def due(
        self,
        references: Sequence[str],
        sources: ImageSources,
        policy: str,
        now: float,
        *,
        retry: bool = False,
    ) -> dict[bytes, str]:
        """Keys and references of the images to read now."""
        wanted = {image_key(sources, reference): reference for reference in references}
        if retry:
            return wanted
        rows = self.connection.execute(
            "SELECT image_key, status, reason, policy, stamp, attempts, retry_at FROM images"
        )
        for key, *known in rows:
            image = wanted.get(key)
            if image is not None and not Known(*known).is_due(sources.stamp(image), policy, now):
                del wanted[key]
        return wanted

    def record(self, outcomes: Sequence[tuple[bytes, Outcome]], policy: str, now: float) -> None:
        """Flush the JPEGs, then commit the index."""
        with self.connection:
            self.connection.execute("BEGIN IMMEDIATE")
            content_ids = self.append([outcome.jpeg for _, outcome in outcomes if outcome.jpeg])
            kept = iter(content_ids)
            for key, outcome in outcomes:
                row = {
                    "key": key,
                    "status": outcome.status,
                    "reason": outcome.reason,
                    "policy": policy,
                    "stamp": outcome.stamp,
                    "content_id": next(kept) if outcome.jpeg else None,
                    "now": now,
                    "first": FIRST_RETRY_SECONDS,
                    "last": LAST_RETRY_SECONDS,
                }
                self.connection.execute(WRITE_OUTCOME, row)

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
            stale={reason: number for reason, number in by_status["ok"].items() if reason},
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
        if version and (refusal := POST_INPUTS.refusal(folder, version)):
            raise PostInputsUnusable(refusal)
        connection.executescript(SCHEMA)
        connection.execute(f"PRAGMA user_version = {POST_INPUTS.version}")
        yield ImageStore(folder, connection)
    except sqlite3.Error as error:
        raise PostInputsUnusable(
            f"{folder / 'images.db'} cannot be used ({error}): delete {folder} to read images again"
        ) from error
    finally:
        connection.close()


def image_key(sources: ImageSources, reference: str) -> bytes:
    """A key of 16 bytes for the name of an image."""
    name = sources.name(reference).encode("utf-8", "surrogatepass")
    return blake2b(name, digest_size=16).digest()


def content_hash(digest: bytes) -> int:
    """64 bits of a content's digest, never 0 (0 says that there is no image)."""
    return int.from_bytes(digest[:8], "little") or 1


def read(
    sources: ImageSources, limits: ImageLimits, budget: PixelBudget, reference: str
) -> Outcome:
    """Fetch and decode one image."""
    stamp = sources.stamp(reference)
    try:
        content = sources.read(reference)
        if sources.stamp(reference) != stamp:
            return Outcome(status="pending", reason="changed while it was read", stamp=stamp)
        return Outcome(status="ok", jpeg=bounded_jpeg(content, limits, budget), stamp=stamp)
    except ImageRefused as error:
        return Outcome(status="missing", reason=error.reason, stamp=stamp)
    except ImageUnavailable as error:
        return Outcome(status="pending", reason=error.reason, stamp=stamp)
