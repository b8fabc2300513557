"""Convert rows that Feast passes to an online store, and write them in batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.helpers import extract_text_and_num
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from featurestore.online.rows import EncodedRow

Row = tuple[EntityKey, dict[str, Value], datetime, datetime | None]


def write_in_batches(
    write: Callable[[Sequence[EncodedRow]], int],
    data: Sequence[Row],
    *,
    num_rows: int,
    progress: Callable[[int], Any] | None,
) -> None:
    """Call `write` with `num_rows` rows at a time, and tell `progress` the size of each batch."""
    for start in range(0, len(data), num_rows):
        batch = data[start : start + num_rows]
        write([encoded_row(row) for row in batch])
        if progress:
            progress(len(batch))


def encoded_row(row: Row) -> EncodedRow:
    """Convert one of Feast's rows. A time without a zone is UTC, as in Feast."""
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
