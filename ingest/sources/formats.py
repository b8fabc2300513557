"""Files that hold no events, one a line: what they are, and how to turn them into such a file.

A file is read where one of its first thousand lines is an event, whatever the others are.
"""

import csv
import json
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ingest.errors import NotEvents
from ingest.sources.archives import FileBytes
from ingest.sources.lines import BOM, MAX_EVENT_BYTES, TOO_LONG, LineReader

NUM_LINES = 1000
CHUNK_LINES = 100
CHUNK_BYTES = 1 << 20
NUM_ROWS = NUM_COLUMNS = 2
SAMPLE_BYTES = 200
MIN_SAMPLES = 4

Reject = Callable[[Sequence[bytes]], Sequence[tuple[int, str]]]
"""The indices and reasons of the lines that are no events."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """What a file is, and the remedy."""

    name: str
    remedy: str


UNPACK = "unpack it first"
ONE_A_LINE = "write one event a line, as JSON (docs/events.md)"


def _utf_16(variant: str = "UTF-16") -> Format:
    return Format(name="UTF-16 text", remedy=f"iconv -f {variant} -t UTF-8 FILE > events.jsonl")


STARTS = {
    b"\xff\xfe": _utf_16(),
    b"\xfe\xff": _utf_16(),
    b"\x1e": Format(name="a JSON text sequence", remedy="tr -d '\\036' < FILE > events.jsonl"),
    b"PK\x03\x04": Format(name="a zip archive", remedy=UNPACK),
    b"BZh": Format(name="a bzip2 archive", remedy=UNPACK),
    b"\xfd7zXZ\0": Format(name="an xz archive", remedy=UNPACK),
    b"\x04\x22\x4d\x18": Format(name="an lz4 archive", remedy=UNPACK),
    b"PAR1": Format(name="a Parquet file", remedy=ONE_A_LINE),
    b"Obj\x01": Format(name="an Avro file", remedy=ONE_A_LINE),
    b"SQLite format 3": Format(name="a SQLite database", remedy=ONE_A_LINE),
}
TAR = Format(name="a tar archive", remedy=UNPACK)
TAR_MAGIC = slice(257, 262)
BINARY = Format(name="binary data", remedy=ONE_A_LINE)
ARRAY = Format(name="one JSON array", remedy="jq -c '.[]' FILE > events.jsonl")
PRETTY = Format(
    name="JSON with objects of several lines each", remedy="jq -c . FILE > events.jsonl"
)
CR_ENDS = Format(
    name="text whose lines end with CR alone", remedy="tr '\\r' '\\n' < FILE > events.jsonl"
)
PAGE = Format(name="HTML or XML", remedy="get the events again")
CSV = Format(name="CSV", remedy=ONE_A_LINE)


def has_events(path: Path, reject: Reject) -> bool:
    """Whether one of the first thousand lines of a file is an event.

    False where there are not so many lines yet and none of them is one. Raises NotEvents where none
    of a thousand is one, and where the file is of another format.
    """
    head = _head(path)
    first_line = head.removeprefix(BOM).partition(b"\n")[0]
    if not reject([first_line]):
        return True
    num_lines, first_reason = 0, ""
    for lines, num_too_long in _first_lines(path) if b"\n" in head else ():
        rejected = reject(lines)
        if len(rejected) < len(lines):
            return True
        num_lines += len(lines) + num_too_long
        first_reason = first_reason or (rejected[0][1] if rejected else TOO_LONG)
    found = format_of(head)
    if found is not None:
        remedy = found.remedy.replace("FILE", shlex.quote(str(path)))
        raise NotEvents(
            f"{path} is {found.name}, not one event a line: {remedy} (--keep-going reads it as it"
            " is)"
        )
    if num_lines >= NUM_LINES:
        raise NotEvents(
            f"the first {NUM_LINES:,} lines of {path} are all rejected, the first one because"
            f" {first_reason}: {ONE_A_LINE}, or keep them as dead letters with --keep-going"
        )
    return False


def format_of(head: bytes) -> Format | None:
    """What a file is that begins so, of what is surely no list of events."""
    for start, known in STARTS.items():
        if head.startswith(start):
            return known
    if head[TAR_MAGIC] == b"ustar":
        return TAR
    if b"\0" in head:
        return _format_with_nul(head[:SAMPLE_BYTES])
    text = head.removeprefix(BOM).lstrip()
    if text.startswith(b"["):
        return ARRAY
    if text.startswith(b"<"):
        return PAGE
    if b"\r" in text.strip() and b"\n" not in text.strip():
        return CR_ENDS
    decoded = text.decode(errors="replace")
    if _is_of_several_lines(decoded):
        return PRETTY
    return CSV if _is_csv(decoded) else None


def _head(path: Path) -> bytes:
    with closing(FileBytes(path, 0)) as content:
        blocks: list[bytes] = []
        while sum(map(len, blocks)) <= MAX_EVENT_BYTES and (block := content.read()):
            blocks.append(block)
    return b"".join(blocks)


def _first_lines(path: Path) -> Iterator[tuple[list[bytes], int]]:
    """The first thousand lines in pieces, and the number of overlong ones in each."""
    with closing(LineReader(path, 0)) as reader:
        left = NUM_LINES
        while left:
            start = reader.offset
            lines, _, too_long = reader.read(min(CHUNK_LINES, left), CHUNK_BYTES)
            if reader.offset == start:
                return
            yield lines, len(too_long)
            left -= len(lines) + len(too_long)


def _format_with_nul(sample: bytes) -> Format:
    """In UTF-16 every second byte of most texts is NUL."""
    for variant, high_bytes in (("UTF-16LE", sample[1::2]), ("UTF-16BE", sample[::2])):
        if len(high_bytes) >= MIN_SAMPLES and high_bytes.count(0) > len(high_bytes) // 2:
            return _utf_16(variant)
    return BINARY


def _is_of_several_lines(text: str) -> bool:
    """Whether text begins with a JSON object that goes on over line breaks."""
    first = text.partition("\n")[0].strip()
    if not first.startswith("{"):
        return False
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return first == "{"
    return "\n" in text[:end]


def _is_csv(text: str) -> bool:
    """Whether the first two lines have the same number of columns."""
    lines = [line for line in islice(text.splitlines(), NUM_ROWS) if not line.startswith("{")]
    for delimiter in ",;\t":
        try:
            widths = [len(row) for row in csv.reader(lines, delimiter=delimiter)]
        except csv.Error:
            continue
        if len(widths) == NUM_ROWS and widths[0] == widths[1] >= NUM_COLUMNS:
            return True
    return False
