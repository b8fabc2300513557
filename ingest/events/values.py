"""The values that an event may hold: ids, texts, times and the tie-break."""

import re
from datetime import UTC, datetime, timedelta
from hashlib import blake2b

from ingest.errors import EventRejected

MAX_ID_BYTES = 256
MAX_TEXT_BYTES = 65_536
DAY_US = 86_400_000_000
MAX_BYTES_PER_CHARACTER = 4

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

SECOND = slice(17, 19)
"""Where an RFC 3339 time has its second."""
LEAP_SECOND = "60"

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_FRACTION = re.compile(r"\.\d+")
_WITHOUT_OFFSET = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?", re.ASCII)


def check_id(name: str, value: str) -> str:
    """Return an id of 1 to 256 bytes without control characters, or raise EventRejected."""
    if not value:
        raise EventRejected(f"{name} is empty")
    if len(value) * MAX_BYTES_PER_CHARACTER > MAX_ID_BYTES and len(value.encode()) > MAX_ID_BYTES:
        raise EventRejected(f"{name} is longer than {MAX_ID_BYTES} bytes")
    if not value.isprintable() and _CONTROL.search(value):
        raise EventRejected(f"{name} has a control character")
    return value


def check_text(name: str, value: str) -> str:
    """Return a text of at most 64 KB without NUL, or raise EventRejected."""
    if "\0" in value:
        raise EventRejected(f"{name} has a NUL character")
    if (
        len(value) * MAX_BYTES_PER_CHARACTER > MAX_TEXT_BYTES
        and len(value.encode()) > MAX_TEXT_BYTES
    ):
        raise EventRejected(f"{name} is longer than {MAX_TEXT_BYTES} bytes")
    return value


def check_count(name: str, value: float) -> int:
    """Return a count as an integer, or raise EventRejected where it has a fraction."""
    if isinstance(value, int):
        return value
    if not value.is_integer():
        raise EventRejected(f"{name} is not a whole number")
    return int(value)


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970 of an aware time."""
    elapsed = moment - EPOCH
    return (elapsed.days * 86_400 + elapsed.seconds) * 1_000_000 + elapsed.microseconds


def parse_time(name: str, value: str) -> int:
    """Microseconds since 1970 of an RFC 3339 time, finer digits cut; or raise EventRejected.

    A leap second (`:60`) is the last microsecond of its minute.
    """
    if not _RFC3339.fullmatch(value):
        if _WITHOUT_OFFSET.fullmatch(value):
            raise EventRejected(f"{name} has no offset from UTC")
        raise EventRejected(f"{name} is not an RFC 3339 time")
    try:
        return microseconds(datetime.fromisoformat(value.upper()))
    except ValueError:
        if value[SECOND] == LEAP_SECOND:
            return _parse_leap_second(name, value)
        raise EventRejected(f"{name} is not a time of the calendar") from None


def _parse_leap_second(name: str, value: str) -> int:
    offset = _FRACTION.sub("", value[SECOND.stop :])
    return parse_time(name, f"{value[: SECOND.start]}59.999999{offset}")


def check_time(name: str, value: str, now: int) -> int:
    """Parse a time that lies from 1970 to 24 h after `now` (microseconds)."""
    time = parse_time(name, value)
    if time < 0:
        raise EventRejected(f"{name} is before 1970")
    if time > now + DAY_US:
        raise EventRejected(f"{name} is more than 24 h ahead of the clock")
    return time


def tie_of(source: str, event_id: str) -> int:
    """The signed integer that orders facts of one key and one time."""
    digest = blake2b(f"{source}\0{event_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
