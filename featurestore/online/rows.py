"""Rows of users, encoded as an online store writes them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from featurestore.definitions import checked
from featurestore.errors import FeatureInvalid
from featurestore.online.entity_key import entity_keys
from featurestore.online.values import Column, encode


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedRow:
    """One user's row: key, commit time, and (feature, message, text) of each feature."""

    key: bytes
    commit_time: int
    cells: Sequence[tuple[str, bytes, str | None]]


def check_columns(user_ids: Sequence[str], features: Mapping[str, Column]) -> None:
    """Check that each column has one value a user. Raises FeatureInvalid."""
    for name, column in features.items():
        if len(column) != len(user_ids):
            raise FeatureInvalid(
                f"feature {name} has {len(column)} rows for {len(user_ids)} users: give one each"
            )
        checked(name)


def encoded_rows(
    user_ids: Sequence[str], features: Mapping[str, Column], commit_time: int
) -> list[EncodedRow]:
    """Rows of users from columns. Where a user is given twice, the last row wins."""
    columns = [
        [(name, value, text) for value, text in zip(column.values, column.texts, strict=True)]
        for name, column in ((name, encode(name, column)) for name, column in features.items())
    ]
    cells = zip(*columns, strict=True) if columns else (() for _ in user_ids)
    rows = zip(entity_keys(user_ids), cells, strict=True)
    return [EncodedRow(key=key, commit_time=commit_time, cells=row) for key, row in rows]
