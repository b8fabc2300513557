"""How a message of Kafka holds an event: CloudEvents' structured and binary content modes.

In structured mode the value is the whole event. In binary mode the value is the event's `data`, and
its attributes are headers: `ce_id`, `ce_type` and so on, with the type of the data in
`content-type`. (CloudEvents, Kafka protocol binding 1.0.2, section 3.)
"""

from collections.abc import Iterable, Mapping

import msgspec

from ingest.errors import EventRejected
from ingest.events.event import one_line

ATTRIBUTE = "ce_"
CONTENT_TYPE = "content-type"
CLOUDEVENTS = "application/cloudevents"
STRUCTURED = f"{CLOUDEVENTS}+json"
JSON_TYPES = ("application/json", "text/json")
CHARSETS = ("utf-8", "utf8", "us-ascii")

_DATA = msgspec.json.Decoder(msgspec.Raw)


def structured(value: bytes, headers: Iterable[tuple[str, bytes | None]]) -> bytes:
    """The event of a message as one JSON document, the value itself in structured mode.

    Raises EventRejected for data of another type than JSON, and for headers that are no text.
    """
    found = {name: content for name, content in headers if content is not None}
    content_type = _content_type(found)
    if content_type.startswith(CLOUDEVENTS):
        if _media_type(content_type) != STRUCTURED:
            raise _not_json(content_type)
        return value
    attributes = {
        name.removeprefix(ATTRIBUTE): _text(name, content)
        for name, content in found.items()
        if name.startswith(ATTRIBUTE)
    }
    if not attributes:
        return value
    if content_type and not _is_json(content_type):
        raise _not_json(content_type)
    data = {"data": _json(value)} if value else {}
    return msgspec.json.encode({**attributes, **data})


def _content_type(headers: Mapping[str, bytes]) -> str:
    for name, content in headers.items():
        if name.lower() == CONTENT_TYPE:
            return _text(name, content).strip().lower()
    return ""


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip()


def _is_json(content_type: str) -> bool:
    media_type = _media_type(content_type)
    _, _, charset = content_type.partition("charset=")
    return (media_type in JSON_TYPES or media_type.endswith("+json")) and (
        not charset or charset.partition(";")[0].strip(' "') in CHARSETS
    )


def _json(value: bytes) -> msgspec.Raw:
    try:
        return _DATA.decode(value)
    except (msgspec.DecodeError, RecursionError) as error:
        raise EventRejected(one_line(f"data: {error}")) from None


def _text(name: str, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise EventRejected(
            one_line(f"header {name}: invalid UTF-8 at byte {error.start}")
        ) from None


def _not_json(content_type: str) -> EventRejected:
    return EventRejected(
        one_line(f"{CONTENT_TYPE} {content_type} cannot be read: send {JSON_TYPES[0]} in UTF-8")
    )
