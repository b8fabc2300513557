"""Rows as Feast hands them to an online store, in our form."""

from __future__ import annotations

from datetime import UTC, datetime

from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.helpers import extract_text_and_num
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from featurestore.online.rows import EncodedRow

Row = tuple[EntityKey, dict[str, Value], datetime, datetime | None]


def encoded_row(row: Row) -> EncodedRow:
    """Our form of one of Feast's rows. A time without zone is UTC, as Feast has it."""
    key, values, time, _ = row
    aware = time if time.tzinfo else time.replace(tzinfo=UTC)
    seconds = int(aware.replace(microsecond=0).timestamp())
    return EncodedRow(
        key=serialize_entity_key(key, entity_key_serialization_version=3),
        commit_time=seconds * 1_000_000 + aware.microsecond,
        cells=[
            (name, value.SerializeToString(), extract_text_and_num(value, False)[0])
            for name, value in values.items()
        ],
    )
