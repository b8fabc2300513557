"""The statistics consumer: projects X of each user from the graph's feed to the feature store.

A projection is repeatable. In this order: read the head, then which users changed up to it, then
their content as it is now; append to the history (a slice that is there stays as it is), write the
online rows under the commit time of the head that was read first (older never overwrites newer),
delete the users that left, and only then move the watermark. Killed anywhere, it does the same
again. Where the feed does not reach back, is another graph's, or ends before the watermark, it
projects all users instead and deletes whom it has not seen.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from featurestore.definitions import EVENT_TIME, GRAPH_VERSION, USER_ACTIVITY
from featurestore.feast_adapter.registry import FeatureRegistry
from featurestore.history import History, Slice
from featurestore.online.store import OnlineStore, Watermark
from graphdb.errors import ChangesTrimmed
from graphdb.stage import StageLock
from graphdb.statistics import STATISTICS, user_statistics
from graphdb.store import GraphStore, Head, Post, Profile

STAGE = "statistics"
PAGE_USERS = 2_000
FROM_SCRATCH = -1

Progress = Callable[[int, int], None]
"""Is called with the number of users projected so far and of all users that have to be."""

logger = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class StatisticsReport:
    """What a run did: rows written online, kept in the history, deleted online; and how far."""

    watermark: Watermark | None = None
    num_written: int = 0
    num_appended: int = 0
    num_deleted: int = 0
    rebuilt: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """One pass: the head that was read first, the version that it starts from, its report."""

    head: Head
    since: int
    report: StatisticsReport
    pages: Iterator[int] = field(default_factory=count)


class StatisticsConsumer:
    """Runs the stage; as a context manager it holds the stage's lock, else for each run.

    Running or entering raises StageBusy when another process runs the stage on this home.
    """

    def __init__(
        self,
        graph: GraphStore,
        online: OnlineStore,
        history: History,
        registry: FeatureRegistry,
        *,
        home: Path,
    ) -> None:
        self.graph = graph
        self.online = online
        self.history = history
        self.registry = registry
        self._stage = StageLock(home, STAGE)
        self._entered = False

    def __enter__(self) -> Self:
        self._stage.__enter__()
        self._entered = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._entered = False
        self._stage.__exit__(kind, error, traceback)

    def catch_up(self, progress: Progress | None = None) -> StatisticsReport:
        """Project up to the head as it is now, and once more what was committed meanwhile.

        The second pass deletes whom the feed deleted while the first one wrote.
        """
        lock: AbstractContextManager[object] = nullcontext() if self._entered else self._stage
        with lock:
            self.registry.apply_statistics(STATISTICS)
            report = StatisticsReport(watermark=self.online.watermark(STAGE))
            if self._advance(report, progress):
                self._advance(report, progress)
            return report

    def _advance(self, report: StatisticsReport, progress: Progress | None) -> bool:
        """One pass over what is not projected yet; False when there was nothing."""
        start = time.perf_counter()
        head, graph_id, mark = self.graph.head(), self.graph.graph_id, report.watermark
        if mark is None and head.version == 0:
            return False
        if mark is not None and (mark.graph_id, mark.version) == (graph_id, head.version):
            return False
        changed = self._changed(mark, head, progress)
        if changed is None:
            self._rebuild(Projection(head=head, since=FROM_SCRATCH, report=report), progress)
        else:
            since = FROM_SCRATCH if mark is None else mark.version
            self._project(changed, Projection(head=head, since=since, report=report), progress)
        report.watermark = Watermark(
            graph_id=graph_id, version=head.version, commit_time=head.commit_time
        )
        self.online.set_watermark(STAGE, report.watermark)
        logger.info(
            "statistics at version %d: %d written, %d deleted, %.1f s",
            head.version,
            report.num_written,
            report.num_deleted,
            time.perf_counter() - start,
        )
        return True

    def _changed(
        self, mark: Watermark | None, head: Head, progress: Progress | None
    ) -> list[str] | None:
        """Users whose statistics may have changed up to the head; None when the feed cannot say."""
        if mark is None or mark.graph_id != self.graph.graph_id or mark.version > head.version:
            return None
        users: set[str] = set()
        try:
            for change in self.graph.changes(mark.version):
                if change.version > head.version:
                    break
                users.update(change.users)
                users.update(author for _, author in change.posts if author is not None)
                if progress is not None:
                    progress(0, len(users))
        except ChangesTrimmed:
            return None
        return sorted(users)

    def _rebuild(self, projection: Projection, progress: Progress | None) -> None:
        """Project all users that exist, then delete all others from every view."""
        projection.report.rebuilt = True
        total, done, last = self.graph.counts().users, 0, None
        while page := self.graph.user_ids(after=last, limit=PAGE_USERS):
            self._project_page(page, projection)
            last, done = page[-1], done + len(page)
            if progress is not None:
                progress(done, max(done, total))
        for view in self.online.views():
            for page in self.online.user_ids(view):
                self._delete(absent(page, self.graph.profiles(page)), projection)

    def _project(
        self, user_ids: Sequence[str], projection: Projection, progress: Progress | None
    ) -> None:
        """Project these users in pages."""
        for start in range(0, len(user_ids), PAGE_USERS):
            page = user_ids[start : start + PAGE_USERS]
            self._project_page(page, projection)
            if progress is not None:
                progress(start + len(page), len(user_ids))

    def _project_page(self, user_ids: Sequence[str], projection: Projection) -> None:
        """Project one page: history first, since what is online may be overwritten."""
        head, report = projection.head, projection.report
        profiles = self.graph.profiles(user_ids)
        existing = [profile.user_id for profile in profiles]
        features = self._features(profiles, head)
        piece = Slice(
            graph_id=self.graph.graph_id,
            since=projection.since,
            version=head.version,
            page=next(projection.pages),
        )
        if self.history.append(
            USER_ACTIVITY,
            piece,
            existing,
            features,
            event_times=features[EVENT_TIME],
            commit_time=head.commit_time,
        ):
            report.num_appended += len(existing)
        report.num_written += self.online.write(
            USER_ACTIVITY, existing, features, commit_time=head.commit_time
        )
        self._delete(absent(user_ids, profiles), projection)

    def _features(self, profiles: Sequence[Profile], head: Head) -> dict[str, NDArray[Any]]:
        """X and its provenance, a column (N,) each.

        A row's event time never goes back, or the history would prefer the row before it.
        """
        user_ids = [profile.user_id for profile in profiles]
        posts = self.graph.posts_of(user_ids)
        rows = self.online.read(USER_ACTIVITY, user_ids, [EVENT_TIME])
        before = np.where(rows.known[EVENT_TIME], rows.features[EVENT_TIME], 0).astype(np.int64)
        return {
            **dict(zip(STATISTICS, user_statistics(profiles, posts).T, strict=True)),
            GRAPH_VERSION: np.full(len(profiles), head.version, np.int64),
            EVENT_TIME: np.maximum(event_times(profiles, posts, head.commit_time), before),
        }

    def _delete(self, user_ids: Sequence[str], projection: Projection) -> None:
        """Delete users that left from every view, unless a row is newer than the head."""
        if user_ids:
            before = projection.head.commit_time
            projection.report.num_deleted += self.online.erase(user_ids, before=before)


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
