"""The answers of lookups and of the search for similar users. D width of a vector."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]

MissingReason = Literal["no_generation", "not_computed", "stale"]
"""Why a feature is missing: no generation is active, the user has no value (yet), or the value may
miss changes older than the caller accepts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserFeatures:
    """The online features of one user, all vectors of one generation.

    A missing feature is None, and `missing` has the reason. The vectors were computed at
    `computed_at` from the graph up to `graph_version`, a count of commits; they are `provisional`
    if some inputs were not there yet. `staleness_seconds` bounds, for `statistics` and
    `representation`, the age of the oldest change that they do not reflect: 0 if there is none,
    None if the stage has not run.
    """

    user_id: str
    generation: str | None
    graph_version: int | None
    computed_at: datetime | None
    provisional: bool | None
    staleness_seconds: dict[str, float | None]
    missing: dict[str, MissingReason]
    statistics: dict[str, float | None] | None
    graph: Vector | None
    image: Vector | None
    text: Vector | None
    representation: Vector | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LookupAnswer:
    """Features of several users from one generation; `unknown` users have no row at all."""

    generation: str | None
    users: list[UserFeatures]
    unknown: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimilarUser:
    """A user, and the cosine between its representation and that of the user asked about."""

    user_id: str
    cosine: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SimilarAnswer:
    """The nearest users in one generation, nearest first."""

    user_id: str
    generation: str
    similar: list[SimilarUser]
