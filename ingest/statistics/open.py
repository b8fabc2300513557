"""Opens the statistics consumer on a graph, with what it writes to."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from graphdb.store import GraphStore
from ingest.progress import SECONDS_BETWEEN_LINES

if TYPE_CHECKING:
    from ingest.statistics.consumer import StatisticsConsumer

Project = Callable[[Callable[[], None]], None]
"""Brings the statistics up to date, calling what it is given between two pages."""


@contextmanager
def open_consumer(graph: GraphStore, environ: Mapping[str, str]) -> Iterator["StatisticsConsumer"]:
    """The consumer, on the online store and history of the environment."""
    from featurestore.feast_adapter.registry import FeatureRegistry
    from featurestore.history import History
    from featurestore.online.open import open_online_store
    from featurestore.settings import FeatureStoreSettings
    from ingest.statistics.consumer import StatisticsConsumer

    settings = FeatureStoreSettings.from_environ(environ)
    online = open_online_store(settings)
    try:
        yield StatisticsConsumer(
            graph, online, History(settings), FeatureRegistry(settings), home=settings.home
        )
    finally:
        online.close()


@contextmanager
def statistics_projection(
    graph: GraphStore, environ: Mapping[str, str], note: Callable[[str], None]
) -> Iterator[Project]:
    """A function that brings the statistics up to date; raises StageBusy when another process
    does, and what `check` raises, which it calls now and then."""
    with open_consumer(graph, environ) as consumer:

        def project(check: Callable[[], None]) -> None:
            before = consumer.projection.report.num_written
            consumer.catch_up(progress_lines(note, check))
            num_written = consumer.projection.report.num_written - before
            note(f"statistics: {num_written:,} users written")

        yield project


def progress_lines(
    note: Callable[[str], None], check: Callable[[], None] = lambda: None
) -> Callable[[int, int], None]:
    """A callback that notes every few seconds how many users have been projected.

    It calls `check` each time.
    """
    last = time.monotonic()

    def on_page(num_done: int, num_users: int) -> None:
        nonlocal last
        check()
        if time.monotonic() - last >= SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            note(f"statistics: {num_done:,} of {num_users:,} users")

    return on_page
