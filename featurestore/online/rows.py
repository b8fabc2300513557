"""Rows of users on their way into an online store, without Feast and without a database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from featurestore.definitions import checked
from featurestore.errors import FeatureInvalid
from featurestore.online.values import Column


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedRow:
    """One user's row: key, commit time, and (feature, message, text) of each feature."""

    key: bytes
    commit_time: int
    cells: Sequence[tuple[str, bytes, str | None]]


def check_columns(user_ids: Sequence[str], features: Mapping[str, Column]) -> None:
    """Refuse columns of another length. Raises FeatureInvalid."""
    for name, column in features.items():
        if len(column) != len(user_ids):
            raise FeatureInvalid(
                f"feature {name} has {len(column)} rows for {len(user_ids)} users: give one each"
            )
        checked(name)
