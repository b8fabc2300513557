"""Opens the statistics consumer on a graph, with what it writes to."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from graphdb.consumer import Observer
from graphdb.store import GraphStore
from ingest.progress import SECONDS_BETWEEN_LINES

if TYPE_CHECKING:
    from ingest.statistics.consumer import StatisticsConsumer


@contextmanager
def open_consumer(
    graph: GraphStore,
    environ: Mapping[str, str],
    *,
    observer: Observer = lambda report: None,
) -> Iterator["StatisticsConsumer"]:
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
            graph,
            online,
            History(settings),
            FeatureRegistry(settings),
            home=settings.home,
            observer=observer,
        )
    finally:
        online.close()


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
