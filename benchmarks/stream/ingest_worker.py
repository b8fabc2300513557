"""Our pipeline in a process of its own, as `mmga ingest --follow` runs it, telling its commits.

    python -m benchmarks.stream.ingest_worker

All settings come from the environment, as those of `mmga` do; statistics are not projected.
"""

import os
from contextlib import closing

from benchmarks.stream.turn import begin, committed
from graphdb import open_graph
from graphdb.consumer import PassReport
from graphdb.settings import GraphSettings
from ingest.dead_letters.open import open_dead_letters
from ingest.ingestion import Ingestion
from ingest.interpreter import prepare_for_stream
from ingest.pipeline import BatchReport, Pipeline
from ingest.progress import LineProgress
from ingest.settings import IngestSettings
from ingest.sources.open import open_source
from ingest.sources.source import Extent
from ingest.statistics.process import NoStatistics


class Commits:
    """Tells of each commit."""

    def observe(self, report: BatchReport, seconds: float, extent: Extent) -> None:
        """See Observer."""
        committed(report.num_events)

    def passed(self, extent: Extent) -> None:
        """See Observer."""

    def projected(self, report: PassReport) -> None:
        """See Observer."""


def main() -> None:
    """Connect, read a batch and drop it, so that all is warm; then ingest until a signal comes."""
    settings = IngestSettings.from_environ(os.environ)
    url = settings.events_url
    assert url is not None
    with (
        closing(open_source(url, settings.source(follow=True))) as source,
        closing(open_graph(GraphSettings.from_environ(os.environ).graph_url)) as graph,
        open_dead_letters(url, settings, prepare=True) as letters,
    ):
        pipeline = Pipeline(source, graph, letters, batch_size=settings.batch_size)
        while pipeline.read() is None:
            pass
        begin()
        pipeline.resume()
        run = Ingestion(
            settings,
            pipeline,
            progress=LineProgress(),
            statistics=NoStatistics(),
            retire=nothing,
            observer=Commits(),
        )
        prepare_for_stream()
        run.run(follow=True)


def nothing(*_: object) -> None:
    """What is left out of the measurement."""


if __name__ == "__main__":
    main()
