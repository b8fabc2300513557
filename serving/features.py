"""What a lookup answers. Shapes: D width of a vector, B users."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]

MissingReason = Literal["no_generation", "not_computed", "stale"]
"""Why a feature is absent: nothing is published yet, this user has no value (yet), or the value
may lack changes older than the caller accepts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserFeatures:
    """The online features of one user, all vectors of one generation.

    A feature that is absent is None and named in `missing` with the reason. `graph_version`
    (a count of commits) and `computed_at` say what the vectors were computed from and when;
    `provisional` ones were computed before all their inputs were there. `staleness_seconds`
    bounds, for `statistics` and `representation`, the age of the oldest change that they may
    lack: 0 means none, None that the stage has not run.
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
    """Features of several users out of one generation; `unknown` users have no row at all."""

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
