"""The contract of an online store: the newest features of each user, as matrices.

A row is the features of one user in one feature view. Commit time (microseconds) alone orders its
versions: an older write never overwrites a newer row, an equal one rewrites it. Missing values are
explicit. Nothing expires.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from featurestore.online.pointer import Pointer, PointerChange
from featurestore.online.values import Column
from foundation.watermark import Watermark


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineRows:
    """Features of B users in the order asked: arrays (B,) or (B, D) by name.

    `present` is true where the user has a row with any of these features, `known[name]` where the
    row has that feature. Unknown values are NaN, NaT, 0, False or an empty string, and NaN (B,)
    where no user has the feature. `commit_times` are microseconds, 0 where there is no row.
    """

    features: dict[str, NDArray[Any]]
    known: dict[str, NDArray[np.bool_]]
    present: NDArray[np.bool_]
    commit_times: NDArray[np.int64]


class OnlineStore(Protocol):
    """Online features, watermarks of the stages that write them, and the pointer record."""

    def write(
        self,
        view: str,
        user_ids: Sequence[str],
        features: Mapping[str, Column],
        *,
        commit_time: int,
    ) -> int:
        """Write (B,) or (B, D) columns of B users; return how many rows were written.

        A newer row is left as it is, and so are features that the write does not have. A crash
        leaves whole rows, and the write may be repeated. Raises FeatureInvalid,
        StoreUnavailable.
        """

    def read(self, view: str, user_ids: Sequence[str], features: Sequence[str]) -> OnlineRows:
        """Read features of users, repeated ones included. An unknown view has no rows."""

    def user_ids(self, view: str) -> Iterator[list[str]]:
        """All users of a feature view, in pages, each once, in no meaningful order."""

    def views(self) -> list[str]:
        """Feature views that were written or registered and not dropped since."""

    def delete(self, view: str, user_ids: Sequence[str], *, before: int) -> int:
        """Delete rows of users whose commit time is at most `before`; return how many."""

    def erase(self, user_ids: Sequence[str], *, before: int) -> int:
        """Delete rows of users from every feature view, as `delete` does."""

    def drop_view(self, view: str) -> None:
        """Delete all rows of a feature view."""

    def watermark(self, stage: str) -> Watermark | None:
        """How far a stage has come; None before its first run."""

    def set_watermark(self, stage: str, watermark: Watermark) -> None:
        """Record how far a stage has come, after its rows."""

    def drop_watermark(self, stage: str) -> None:
        """Forget how far a stage has come."""

    def pointer(self) -> Pointer:
        """The pointer record; one without a generation before the first activation."""

    def change_pointer(self, change: PointerChange) -> Pointer:
        """Replace the pointer record by `change` of it in one write; return the new record.

        Of two changes at once, the second sees the result of the first.
        """

    def close(self) -> None:
        """Release the store; using it afterwards is an error."""
