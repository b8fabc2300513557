"""The contract of an online store: the newest features of each user, by matrix.

Rows are ordered by commit time (microseconds) alone: an older write never overwrites a newer row,
an equal one rewrites it. Missing is explicit. Nothing expires.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from featurestore.errors import SettingsInvalid
from featurestore.online.values import Column
from featurestore.settings import FeatureStoreSettings, without_user


@dataclass(frozen=True, slots=True, kw_only=True)
class Watermark:
    """How far a stage has projected a graph; `commit_time` is that of `version`."""

    graph_id: str
    version: int
    commit_time: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineRows:
    """Features of B users in the order asked: arrays (B,) or (B, D) by name.

    `present` tells whose row exists (any of the features asked), `known[name]` whose row has that
    feature. What is not known holds NaN, NaT, 0, False or an empty string, and is NaN (B,) where
    no user has it. `commit_times` are microseconds, 0 where there is no row.
    """

    features: dict[str, NDArray[Any]]
    known: dict[str, NDArray[np.bool_]]
    present: NDArray[np.bool_]
    commit_times: NDArray[np.int64]


class OnlineStore(Protocol):
    """Online features, watermarks of the stages that write them, and the active generation."""

    def write(
        self,
        view: str,
        user_ids: Sequence[str],
        features: Mapping[str, Column],
        *,
        commit_time: int,
    ) -> int:
        """Write (B,) or (B, D) columns of B users; return how many rows were not newer already.

        Features that a row has and the write has not stay. Short transactions: a crash leaves
        whole rows, and the write may be repeated. Raises FeatureInvalid, StoreUnavailable.
        """

    def read(self, view: str, user_ids: Sequence[str], features: Sequence[str]) -> OnlineRows:
        """Read features of users, repeated ones included. An unknown view has no rows."""

    def user_ids(self, view: str) -> Iterator[list[str]]:
        """All users of a view, in pages, each once, in no meaningful order."""

    def views(self) -> list[str]:
        """Views that were ever written or applied here, until they are dropped."""

    def delete(self, view: str, user_ids: Sequence[str], *, before: int) -> int:
        """Delete rows of users whose commit time is at most `before`; return how many."""

    def erase(self, user_ids: Sequence[str], *, before: int) -> int:
        """Delete rows of users from every view, as `delete` does."""

    def drop_view(self, view: str) -> None:
        """Delete all rows of a view."""

    def watermark(self, stage: str) -> Watermark | None:
        """How far a stage has come, if it ever ran."""

    def set_watermark(self, stage: str, watermark: Watermark) -> None:
        """Record how far a stage has come, after its rows."""

    def active_generation(self) -> str | None:
        """The generation that is served."""

    def set_active_generation(self, generation_id: str) -> None:
        """Serve another generation, in one write."""

    def close(self) -> None:
        """Release the store; using it afterwards is an error."""


def open_online_store(settings: FeatureStoreSettings, *, read_only: bool = False) -> OnlineStore:
    """Open the store that the URL's scheme names.

    Raises SettingsInvalid for an unknown scheme, StoreUnavailable, FormatTooNew.
    """
    scheme = settings.online_store_url.partition(":")[0]
    if scheme not in BACKENDS:
        raise SettingsInvalid(
            f"MMGA_ONLINE_STORE_URL={without_user(settings.online_store_url)} has no backend in "
            "this release: use sqlite:///PATH.db, redis://HOST:PORT/DB or rediss://"
        )
    return BACKENDS[scheme](settings, read_only)


def _open_sqlite(settings: FeatureStoreSettings, read_only: bool) -> OnlineStore:
    from featurestore.online.sqlite_store import SqliteStore

    return SqliteStore.open(settings, read_only=read_only)


def _open_redis(settings: FeatureStoreSettings, read_only: bool) -> OnlineStore:
    from featurestore.online.redis_store import RedisStore

    return RedisStore.open(settings, read_only=read_only)


BACKENDS: dict[str, Callable[[FeatureStoreSettings, bool], OnlineStore]] = {
    "sqlite": _open_sqlite,
    "redis": _open_redis,
    "rediss": _open_redis,
}
