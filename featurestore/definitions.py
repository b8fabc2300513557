"""The feature views: their names, features and types, without importing Feast."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from featurestore.errors import FeatureInvalid

ENTITY = "user"
JOIN_KEY = "user_id"

USER_ACTIVITY = "user_activity"
"""The feature view of the statistics X of each user."""

USER_REPRESENTATION = "user_representation"
"""The feature service of the active generation; also the prefix of each generation's own."""

MODALITIES = ("graph", "image", "text")
"""The vectors of a representation, in the order of their concatenation."""

GRAPH_VERSION = "graph_version"
COMPUTED_AT = "computed_at"
PROVISIONAL = "provisional"
EVENT_TIME = "event_time"
"""Microseconds of the newest fact that a row of statistics was computed from."""

EVENT_TIMESTAMP_COLUMN = "event_timestamp"
CREATED_COLUMN = "created"

MAX_NAME_LENGTH = 128
"""Names are parts of file names, tables and keys, some with a prefix."""

NAME = re.compile(rf"[a-z][a-z0-9_]{{0,{MAX_NAME_LENGTH - 1}}}")


class Kind(Enum):
    """The types of features, each with one Feast type."""

    FLOAT = "Float32"
    INTEGER = "Int64"
    BOOLEAN = "Bool"
    TEXT = "String"
    TIME = "UnixTimestamp"
    VECTOR = "Array(Float32)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One column of a feature view."""

    name: str
    kind: Kind
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A feature view keyed by user; its history is in a folder of the same name."""

    name: str
    features: tuple[Feature, ...]
    description: str


def statistics_view(names: Sequence[str]) -> View:
    """The feature view `user_activity`: a float for each statistic, and its provenance."""
    return View(
        name=USER_ACTIVITY,
        description="Received likes and posting behaviour of each user",
        features=(
            *(Feature(name=checked(name), kind=Kind.FLOAT) for name in names),
            Feature(name=GRAPH_VERSION, kind=Kind.INTEGER, description="graph version read"),
            Feature(name=EVENT_TIME, kind=Kind.INTEGER, description="newest fact, microseconds"),
        ),
    )


def representation_view(generation_id: str, dims: Mapping[str, int]) -> View:
    """The feature view of a generation's vectors and their provenance. Raises FeatureInvalid."""
    if set(dims) != set(MODALITIES):
        raise FeatureInvalid(
            f"generation {generation_id} has vectors {sorted(dims)}: it needs {MODALITIES}"
        )
    return View(
        name=representation_name(generation_id),
        description=f"User vectors of generation {generation_id}",
        features=(
            *(
                Feature(name=name, kind=Kind.VECTOR, description=f"{dims[name]} floats")
                for name in MODALITIES
            ),
            Feature(name=GRAPH_VERSION, kind=Kind.INTEGER, description="graph version encoded"),
            Feature(name=COMPUTED_AT, kind=Kind.TIME, description="when the vectors were made"),
            Feature(name=PROVISIONAL, kind=Kind.BOOLEAN, description="not all inputs were there"),
        ),
    )


def representation_name(generation_id: str) -> str:
    """Name of a generation's feature view and service. Raises FeatureInvalid."""
    return f"{USER_REPRESENTATION}_{checked(generation_id)}"


def checked(name: str) -> str:
    """The name, if it is valid for a feature, a view or a generation. Raises FeatureInvalid."""
    if not NAME.fullmatch(name):
        raise FeatureInvalid(
            f"{name[:MAX_NAME_LENGTH]!r} cannot name a view or a feature: use up to "
            f"{MAX_NAME_LENGTH} of a-z, 0-9 and _, a letter first"
        )
    return name
