"""The statistics of users as a projection: X of each user, to the history and the online store.

A page of users is, in this order: put in the history's log, on the disk (a slice that is there
stays as it is); written online under the commit time of the pass's head (older never overwrites
newer); then the users that left are deleted from every view. A rebuild deletes whom it has not
seen. A pass that did not come to its end may have logged what it has not served: the next one
serves that first, so that the history is what was served.
"""

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featurestore.definitions import (
    CREATED_COLUMN,
    EVENT_TIME,
    EVENT_TIMESTAMP_COLUMN,
    GRAPH_VERSION,
    JOIN_KEY,
    USER_ACTIVITY,
)
from featurestore.feast_adapter.registry import FeatureRegistry
from featurestore.history import History
from featurestore.history_log import HistoryLog, Logged
from featurestore.history_rows import Slice
from featurestore.online.store import OnlineStore
from foundation.watermark import Watermark
from graphdb.consumer import Pass
from graphdb.statistics import STATISTICS, user_statistics
from graphdb.store import Change, GraphStore, Head, Post, Profile

STAGE = "statistics"
PAGE_USERS = 2_000
SECONDS_BETWEEN_DEFINITIONS = 60.0
"""How often a pass looks whether the registry still defines what it writes."""


@dataclass(slots=True, kw_only=True)
class StatisticsReport:
    """What was done: rows written online, kept in the history, deleted online."""

    num_written: int = 0
    num_appended: int = 0
    num_deleted: int = 0


class StatisticsProjection:
    """A `Projection` of users; `report` counts what it has done since it was set anew."""

    def __init__(
        self, graph: GraphStore, online: OnlineStore, history: History, registry: FeatureRegistry
    ) -> None:
        self.report = StatisticsReport()
        self._graph = graph
        self._online = online
        self._history = history
        self._log: HistoryLog | None = None
        self._registry = registry
        self._defined = -math.inf

    def watermark(self) -> Watermark | None:
        """See Projection."""
        return self._online.watermark(STAGE)

    def set_watermark(self, watermark: Watermark) -> None:
        """See Projection."""
        self._online.set_watermark(STAGE, watermark)
        self._opened_log().settle()

    def keys(self, change: Change) -> Iterable[str]:
        """Users who came, went or changed their profile, and authors of posts that changed."""
        yield from change.users
        for post in change.posts:
            if post.author_id is not None:
                yield post.author_id

    def project(self, keys: Sequence[str], step: Pass) -> None:
        """See Projection."""
        self._begin(step)
        pages = count()
        for page in step.pages(keys, PAGE_USERS):
            self._project_page(page, step, next(pages))

    def rebuild(self, step: Pass) -> int:
        """See Projection."""
        self._begin(step)
        total, num_done = self._graph.counts().users, 0
        for number, page in enumerate(self._all_users()):
            self._project_page(page, step, number)
            num_done += len(page)
            step.progress(num_done, max(num_done, total))
        for view in self._online.views():
            for page in self._online.user_ids(view):
                self._delete(absent(page, self._graph.profiles(page)), step)
        return num_done

    def leave(self) -> None:
        """See Projection."""
        if self._log is not None:
            self._log.close()
            self._log = None

    def _opened_log(self) -> HistoryLog:
        if self._log is None:
            self._log = self._history.log(USER_ACTIVITY)
        return self._log

    def _begin(self, step: Pass) -> None:
        """See that the view is defined, and that all that was logged has been served."""
        if time.monotonic() - self._defined >= SECONDS_BETWEEN_DEFINITIONS:
            self._registry.apply_statistics(STATISTICS)
            self._defined = time.monotonic()
        for logged in self._opened_log().beyond(step.graph_id, step.since, step.head.version):
            self._serve(logged)

    def _serve(self, logged: Logged) -> None:
        """Write logged rows online, as the pass that has logged them was about to."""
        rows = logged.rows
        self._online.write(
            USER_ACTIVITY,
            rows[JOIN_KEY].to_pylist(),
            {
                name: rows[name].to_numpy()
                for name in rows.column_names
                if name not in (JOIN_KEY, EVENT_TIMESTAMP_COLUMN, CREATED_COLUMN)
            },
            commit_time=rows[CREATED_COLUMN].cast("int64")[0].as_py(),
        )

    def _all_users(self) -> Iterator[list[str]]:
        last = None
        while page := self._graph.user_ids(after=last, limit=PAGE_USERS):
            yield page
            last = page[-1]

    def _project_page(self, user_ids: Sequence[str], step: Pass, number: int) -> None:
        """Project one page: history first, since what is online may be overwritten."""
        profiles = self._graph.profiles(user_ids)
        existing = [profile.user_id for profile in profiles]
        features = self._features(profiles, step.head)
        piece = Slice(
            graph_id=step.graph_id, since=step.since, version=step.head.version, page=number
        )
        if self._opened_log().append(
            piece,
            existing,
            features,
            event_times=features[EVENT_TIME],
            commit_time=step.head.commit_time,
        ):
            self.report.num_appended += len(existing)
        self.report.num_written += self._online.write(
            USER_ACTIVITY, existing, features, commit_time=step.head.commit_time
        )
        self._delete(absent(user_ids, profiles), step)

    def _features(self, profiles: Sequence[Profile], head: Head) -> dict[str, NDArray[Any]]:
        """X and its provenance, a column (N,) each.

        A row's event time never goes back, or the history would prefer the row before it.
        """
        user_ids = [profile.user_id for profile in profiles]
        posts = self._graph.posts_of(user_ids)
        rows = self._online.read(USER_ACTIVITY, user_ids, [EVENT_TIME])
        before = np.where(rows.known[EVENT_TIME], rows.features[EVENT_TIME], 0).astype(np.int64)
        return {
            **dict(zip(STATISTICS, user_statistics(profiles, posts).T, strict=True)),
            GRAPH_VERSION: np.full(len(profiles), head.version, np.int64),
            EVENT_TIME: np.maximum(event_times(profiles, posts, head.commit_time), before),
        }

    def _delete(self, user_ids: Sequence[str], step: Pass) -> None:
        """Delete users that left from every view, unless a row is newer than the head."""
        if user_ids:
            before = step.head.commit_time
            self.report.num_deleted += self._online.erase(user_ids, before=before)


def absent(user_ids: Sequence[str], profiles: Sequence[Profile]) -> list[str]:
    """Those of the users that do not exist."""
    existing = {profile.user_id for profile in profiles}
    return [user_id for user_id in user_ids if user_id not in existing]


def event_times(
    profiles: Sequence[Profile], posts: Sequence[Post], commit_time: int
) -> NDArray[np.int64]:
    """When the newest fact of each user happened (N,), microseconds.

    It is the profile's or the newest post's time; the commit time where neither is known.
    """
    newest: dict[str, int] = {}
    for post in posts:
        newest[post.user_id] = max(post.time, newest.get(post.user_id, 0))
    times = [max(each.time or 0, newest.get(each.user_id, 0)) for each in profiles]
    return np.array([moment or commit_time for moment in times], np.int64)
