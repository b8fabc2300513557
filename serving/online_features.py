"""`POST /get-online-features`: the protocol of Feast's remote online store, without Feast.

A request names features of feature views, or a feature service.
B users, F features; `results[0]` is the join key, `results[1 + i]` feature i.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from featurestore.definitions import (
    JOIN_KEY,
    USER_ACTIVITY,
    USER_REPRESENTATION,
    View,
    representation_view,
    statistics_view,
)
from featurestore.errors import FeatureInvalid, GenerationMissing
from featurestore.online.store import OnlineRows, OnlineStore
from graphdb.statistics import STATISTICS
from serving.errors import FeatureUnknown, InvalidRequest
from serving.identifiers import checked_user_ids, shown
from serving.published import PublishedGenerations

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_FEATURES = 200


class OnlineFeaturesRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a request; unknown fields are ignored."""

    entities: dict[str, list[Any]]
    features: list[str] = []
    feature_service: str | None = None
    full_feature_names: bool = False


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """Names of the columns."""

    feature_names: list[str]


class FeatureColumn(msgspec.Struct, frozen=True, kw_only=True):
    """One feature of B users."""

    values: list[Any]
    statuses: list[str]
    event_timestamps: list[str]


class OnlineFeaturesResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The join key and the requested features, as columns."""

    metadata: Metadata
    results: list[FeatureColumn]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureReference:
    """A feature of a feature view."""

    view: str
    name: str

    def output_name(self, *, full: bool) -> str:
        """Name of the column in the answer."""
        return f"{self.view}__{self.name}" if full else self.name


class OnlineFeatures:
    """Answers requests of Feast's clients out of the online store."""

    def __init__(
        self, *, online: OnlineStore, published: PublishedGenerations, max_users: int
    ) -> None:
        self._online = online
        self._published = published
        self._max_users = max_users

    def answer(self, request: OnlineFeaturesRequest) -> OnlineFeaturesResponse:
        """Columns in the order asked. Raises InvalidRequest, FeatureUnknown, NoGeneration."""
        if set(request.entities) != {JOIN_KEY}:
            raise InvalidRequest(
                f"entities are {shown(', '.join(request.entities))}: give {JOIN_KEY} alone"
            )
        user_ids = checked_user_ids(request.entities[JOIN_KEY], limit=self._max_users)
        references = self._references(request)
        names = [ref.output_name(full=request.full_feature_names) for ref in references]
        if len(set(names)) < len(names):
            raise InvalidRequest(
                "two features have the same name: ask with full_feature_names, or leave one out"
            )
        return OnlineFeaturesResponse(
            metadata=Metadata(feature_names=[JOIN_KEY, *names]),
            results=[_join_key_column(user_ids), *self._columns(references, user_ids)],
        )

    def _columns(
        self, references: Sequence[FeatureReference], user_ids: list[str]
    ) -> list[FeatureColumn]:
        rows, times = {}, {}
        for view in dict.fromkeys(reference.view for reference in references):
            fields = [reference.name for reference in references if reference.view == view]
            rows[view] = self._online.read(view, user_ids, fields)
            times[view] = [_iso(time) for time in rows[view].commit_times.tolist()]
        return [
            _feature_column(rows[reference.view], reference.name, times[reference.view])
            for reference in references
        ]

    def _references(self, request: OnlineFeaturesRequest) -> list[FeatureReference]:
        if (request.feature_service is None) == (not request.features):
            raise InvalidRequest("name either features or a feature_service")
        if len(request.features) > MAX_FEATURES:
            raise InvalidRequest(
                f"{len(request.features)} features in one request: at most {MAX_FEATURES}"
            )
        if request.feature_service is not None:
            return self._of_service(request.feature_service)
        return [self._reference(text) for text in request.features]

    def _of_service(self, service: str) -> list[FeatureReference]:
        view = service
        if service == USER_REPRESENTATION:
            view = self._published.required().view
        if view == USER_ACTIVITY:
            raise FeatureUnknown(
                f"{USER_ACTIVITY} is a feature view, not a service: name its features"
            )
        return [FeatureReference(view=view, name=name) for name in self._fields(view)]

    def _reference(self, text: str) -> FeatureReference:
        view, separator, name = text.partition(":")
        if not separator:
            raise InvalidRequest(f"feature {shown(text)} is not VIEW:FEATURE")
        if name not in self._fields(view):
            raise FeatureUnknown(f"feature view {shown(view)} has no feature {shown(name)}")
        return FeatureReference(view=view, name=name)

    def _fields(self, view: str) -> tuple[str, ...]:
        """Features of a feature view. Raises FeatureUnknown, also for a generation that is gone."""
        if view == USER_ACTIVITY:
            return _names(statistics_view(STATISTICS))
        generation_id = view.removeprefix(f"{USER_REPRESENTATION}_")
        if generation_id != view:
            try:
                generation = self._published.get(generation_id)
            except (GenerationMissing, FeatureInvalid) as error:
                raise FeatureUnknown(f"no feature view or service {shown(view)}") from error
            return _names(representation_view(generation.id, generation.dims))
        raise FeatureUnknown(
            f"no feature view or service {shown(view)}: there are {USER_ACTIVITY}, "
            f"{USER_REPRESENTATION} and {USER_REPRESENTATION}_GENERATION"
        )


def _names(view: View) -> tuple[str, ...]:
    return tuple(feature.name for feature in view.features)


def _join_key_column(user_ids: list[str]) -> FeatureColumn:
    return FeatureColumn(
        values=user_ids,
        statuses=["PRESENT"] * len(user_ids),
        event_timestamps=[_iso(0)] * len(user_ids),
    )


def _feature_column(rows: OnlineRows, name: str, times: list[str]) -> FeatureColumn:
    values = rows.features[name]
    usable = rows.known[name] & _finite(values)
    return FeatureColumn(
        values=[
            value if is_usable else None
            for value, is_usable in zip(_plain(values), usable.tolist(), strict=True)
        ],
        statuses=["PRESENT" if is_usable else "NOT_FOUND" for is_usable in usable.tolist()],
        event_timestamps=times,
    )


def _finite(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Which of B rows hold no NaN and no infinity: JSON has neither."""
    if values.dtype.kind != "f":
        return np.ones(len(values), np.bool_)
    finite: NDArray[np.bool_] = np.isfinite(values).reshape(len(values), -1).all(axis=1)
    return finite


def _plain(values: NDArray[Any]) -> list[Any]:
    """Values of B rows for JSON; times as whole seconds, as Feast sends them."""
    plain: list[Any] = (values.astype(np.int64) if values.dtype.kind == "M" else values).tolist()
    return plain


def _iso(microseconds: int) -> str:
    return (EPOCH + timedelta(microseconds=microseconds)).isoformat().replace("+00:00", "Z")
