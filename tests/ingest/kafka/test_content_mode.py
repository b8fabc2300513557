"""The two content modes of CloudEvents in Kafka: each gives the same event."""

import json

import pytest

from ingest.errors import EventRejected
from ingest.events.event import parse
from ingest.kafka.content_mode import structured
from tests.ingest.made import line

EVENT = json.loads(line())
DATA = json.dumps(EVENT["data"]).encode()
HEADERS = [
    *((f"ce_{name}", str(value).encode()) for name, value in EVENT.items() if name != "data"),
    ("content-type", b"application/json"),
]


@pytest.mark.parametrize(
    "content_type",
    [b"application/json", b"application/json; charset=UTF-8", b"application/vnd.follow+json"],
)
def test_headers_and_data_are_the_event_of_the_whole_document(content_type: bytes) -> None:
    headers = [*HEADERS[:-1], ("Content-Type", content_type)]
    assert parse(structured(DATA, headers)) == parse(line())


def test_without_a_content_type_data_is_json() -> None:
    assert parse(structured(DATA, HEADERS[:-1])) == parse(line())


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("trace", b"\xff"), ("content-type", b"text/plain")],
        [("content-type", b"application/cloudevents+json; charset=utf-8")],
        [*HEADERS[:-1], ("content-type", b"application/cloudevents+json")],
        [("ce_id", None)],
    ],
)
def test_in_structured_mode_the_value_is_the_event(
    headers: list[tuple[str, bytes | None]],
) -> None:
    assert structured(line(), headers) == line()


@pytest.mark.parametrize(
    ("value", "headers", "reason"),
    [
        (b"Obj", [("content-type", b"application/avro")], "content-type application/avro cannot"),
        (DATA, [("content-type", b"application/json; charset=latin-1")], "send application/json"),
        (DATA, [("content-type", b"application/cloudevents+avro")], "cloudevents\\+avro cannot"),
        (DATA, [("ce_id", b"\xff")], "header ce_id: invalid UTF-8 at byte 0"),
        (b"{", [], "data: Input data was truncated"),
        (b'{"a":1},"id":"forged"', [], "data: JSON is malformed: trailing characters"),
        (b"[" * 100_000, [], "data: maximum recursion"),
    ],
)
def test_what_cannot_be_read_has_a_reason(
    value: bytes, headers: list[tuple[str, bytes]], reason: str
) -> None:
    with pytest.raises(EventRejected, match=reason):
        structured(value, [("ce_source", b"s"), *headers])


def test_an_attribute_or_data_that_is_missing_is_the_fault_of_the_event() -> None:
    with pytest.raises(EventRejected, match="data"):
        parse(structured(b"", HEADERS))
    with pytest.raises(EventRejected, match="specversion"):
        parse(structured(DATA, [each for each in HEADERS if each[0] != "ce_specversion"]))
