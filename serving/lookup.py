"""Look up the online features of users; each answer is from one generation."""

import time
from collections.abc import Callable, Sequence

from featurestore.definitions import (
    COMPUTED_AT,
    GRAPH_VERSION,
    MODALITIES,
    PROVISIONAL,
    USER_ACTIVITY,
)
from featurestore.online.store import OnlineStore
from foundation.watermark import Watermark
from graphdb.statistics import STATISTICS
from graphdb.store import Head
from serving.errors import InvalidRequest, UserUnknown
from serving.features import LookupAnswer, UserFeatures
from serving.identifiers import checked_user_ids, shown
from serving.published import PublishedGeneration, PublishedGenerations
from serving.rows import AnswerRows, StatisticsRows, VectorRows
from serving.staleness import staleness_seconds

STATISTICS_STAGE = "statistics"
VECTOR_FIELDS = (*MODALITIES, GRAPH_VERSION, COMPUTED_AT, PROVISIONAL)


class Lookup:
    """Reads the features of users. Safe to use from several threads."""

    def __init__(
        self,
        *,
        online: OnlineStore,
        published: PublishedGenerations,
        graph_head: Callable[[], tuple[str, Head] | None],
        max_users: int,
    ) -> None:
        self._online = online
        self._published = published
        self._graph_head = graph_head
        self._max_users = max_users

    def user(self, user_id: str, *, max_staleness: float | None = None) -> UserFeatures:
        """The features of one user. Raises UserUnknown, InvalidRequest."""
        answer = self.users([user_id], max_staleness=max_staleness)
        if answer.unknown:
            raise UserUnknown(f"no user {shown(user_id)} in the online store")
        return answer.users[0]

    def users(self, user_ids: Sequence[str], *, max_staleness: float | None = None) -> LookupAnswer:
        """The features of users in the order asked, repeated ones repeated.

        The active generation is resolved once: all vectors of the answer are from that one.
        Features that may miss changes older than `max_staleness` seconds are left out.
        Raises InvalidRequest for an invalid id, too many ids, or a negative bound.
        """
        return self.users_in(self._published.active(), user_ids, max_staleness=max_staleness)

    def users_in(
        self,
        generation: PublishedGeneration | None,
        user_ids: Sequence[str],
        *,
        max_staleness: float | None = None,
    ) -> LookupAnswer:
        """As `users`, from a generation that the caller has resolved."""
        ids = checked_user_ids(user_ids, limit=self._max_users)
        if max_staleness is not None and not max_staleness >= 0:
            raise InvalidRequest(f"max_staleness is {max_staleness}: give seconds, 0 or more")
        vectors = None if generation is None else self._vectors(generation, ids)
        statistics = StatisticsRows.of(self._online.read(USER_ACTIVITY, ids, STATISTICS))
        stages = self.staleness(generation)
        page = AnswerRows(
            generation=None if generation is None else generation.id,
            statistics=statistics,
            vectors=vectors,
            staleness=stages,
            stale=frozenset(
                name for name, seconds in stages.items() if _exceeds(seconds, max_staleness)
            ),
        )
        known = [page.knows(row) for row in range(len(ids))]
        return LookupAnswer(
            generation=page.generation,
            users=[page.user(row, user_id) for row, user_id in enumerate(ids) if known[row]],
            unknown=[user_id for row, user_id in enumerate(ids) if not known[row]],
        )

    def staleness(self, generation: PublishedGeneration | None) -> dict[str, float | None]:
        """Staleness of each stage in seconds; None before its first run."""
        head, now = self._graph_head(), time.time_ns() // 1_000
        marks: dict[str, Watermark | None] = {
            "statistics": self._online.watermark(STATISTICS_STAGE),
            "representation": None,
        }
        if generation is not None:
            newer = self._online.watermark(generation.view)
            marks["representation"] = newer or generation.published_to
        return {
            name: None if mark is None else staleness_seconds(mark, head, now)
            for name, mark in marks.items()
        }

    def _vectors(self, generation: PublishedGeneration, ids: list[str]) -> VectorRows:
        rows = self._online.read(generation.view, ids, VECTOR_FIELDS)
        return VectorRows.of(rows, generation)


def _exceeds(seconds: float | None, bound: float | None) -> bool:
    return bound is not None and (seconds is None or seconds > bound)
