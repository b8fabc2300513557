"""Events of what a crawl states: their time, and an id that is a hash of their content."""

import math
from collections.abc import Mapping
from datetime import timedelta
from hashlib import blake2b

import msgspec

from ingest.events.values import EPOCH
from ingest.instaloader.schema import Number
from ingest.instaloader.skipped import NotUsed

SOURCE = "mmga/import/instaloader"


def event_line(kind: str, time: int, subject: str, data: Mapping[str, object]) -> bytes:
    """One event without a line break; the same type, time and data make the same bytes."""
    stated = {"type": kind, "time": rfc3339(time), "data": data}
    digest = blake2b(msgspec.json.encode(stated), digest_size=16).hexdigest()
    return msgspec.json.encode(
        {"specversion": "1.0", "id": digest, "source": SOURCE, "subject": subject, **stated}
    )


def rfc3339(time: int) -> str:
    """The time of microseconds since 1970."""
    try:
        moment = EPOCH + timedelta(microseconds=time)
    except OverflowError:
        raise NotUsed("times out of range", f"{time} microseconds since 1970") from None
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z"


def microseconds(seconds: Number | None) -> int | None:
    """Microseconds of seconds since 1970; None where there is no time (absent or 0)."""
    if not seconds or not math.isfinite(seconds):
        return None
    return int(seconds * 1_000_000)


def count(*candidates: Number | None) -> int | None:
    """The first count that is given; Instagram gives -1 for one that it hides."""
    for value in candidates:
        if value is not None and value >= 0 and value == int(value):
            return int(value)
    return None
