"""Commands of ingestion: ingest, labels, statistics, status, digest."""

import json
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from featurestore.settings import FeatureStoreSettings
from foundation.stage_run import stage_run
from foundation.stop import StopRequest
from graphdb import open_graph
from graphdb.settings import GraphSettings
from graphdb.stage import StageLock
from graphdb.store import GraphStore
from ingest.dead_letters.file import DeadLetterFile
from ingest.dead_letters.open import open_dead_letters
from ingest.errors import SourceMissing
from ingest.events.labels import LabelDecoder
from ingest.home import prepare_home
from ingest.ingestion import Ingestion, Observer, enforce_retention, rewind
from ingest.interpreter import prepare_for_stream
from ingest.pipeline import Pipeline
from ingest.progress import Progress, open_progress
from ingest.settings import IngestSettings
from ingest.sources.files import FileSource
from ingest.sources.open import open_source
from ingest.sources.source import Source
from ingest.statistics.open import open_consumer, progress_lines
from ingest.statistics.process import NoStatistics, Statistics, statistics_process

if TYPE_CHECKING:
    from featurestore.online.store import OnlineStore

STAGE = "ingest"
MAX_BATCH_SIZE = 10_000


@click.command()
@click.option(
    "--events",
    "events_url",
    help="A .jsonl file, also as .gz or .zst, a folder of them, or kafka://HOST:PORT"
    " [MMGA_EVENTS_URL].",
)
@click.option(
    "--follow", is_flag=True, help="Wait for new events at the end, until SIGINT or SIGTERM."
)
@click.option(
    "--from",
    "start",
    metavar="earliest|TIME",
    help="Read again from the beginning, or from the first event at or after a time (RFC 3339).",
)
@click.option(
    "--no-statistics",
    is_flag=True,
    help="Do not write the statistics of users to the feature store.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(1, MAX_BATCH_SIZE),
    default=MAX_BATCH_SIZE,
    show_default=True,
    help="Largest number of events in one transaction.",
)
@click.option(
    "--keep-going",
    is_flag=True,
    help="Read a file whose first thousand lines are all rejected, or that looks like another"
    " format.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the totals as one JSON document.")
def ingest(
    events_url: str | None,
    follow: bool,
    start: str | None,
    no_statistics: bool,
    batch_size: int,
    keep_going: bool,
    as_json: bool,
) -> None:
    """Write events to the graph, each exactly once, and then the statistics of users to the feature
    store.

    A run continues behind the last event that a former run has committed. An event that cannot be
    applied is kept as a dead letter (`mmga dead-letters list`) and does not change the exit status.
    A file that cannot be read is named, the others are read, and the exit status is 1.
    """
    settings = replace(checked_settings(), batch_size=batch_size)
    url = events_url or settings.events_url
    if url is None:
        raise SourceMissing("no events: name a file or folder with --events or MMGA_EVENTS_URL")
    with (
        closing(open_progress()) as progress,
        closing(
            open_source(
                url,
                replace(settings.source(follow=follow), keep_going=keep_going, note=progress.note),
            )
        ) as source,
        _home(settings, source),
        closing(_open_graph()) as graph,
        open_dead_letters(url, settings, prepare=True) as letters,
        _observer(settings if follow else None, progress) as observer,
        _statistics(progress, observer, follow=follow, off=no_statistics) as projected,
    ):
        if start is not None:
            rewind(graph, source, start)
        run = Ingestion(
            settings,
            Pipeline(
                source,
                graph,
                letters,
                batch_size=settings.batch_size,
                media_root=settings.media_root,
            ),
            progress=progress,
            statistics=projected,
            retire=partial(enforce_retention, settings, graph, letters),
            observer=observer,
        )
        prepare_for_stream()
        totals = run.run(follow=follow)
    click.echo(json.dumps(totals.document()) if as_json else str(totals))
    if isinstance(source, FileSource):
        source.check_complete()


@click.group()
def labels() -> None:
    """Import labels of users and posts."""


@labels.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--keep-going",
    is_flag=True,
    help="Read a file whose first thousand lines are all rejected, or that looks like another"
    " format.",
)
def import_labels(file: Path, keep_going: bool) -> None:
    """Import the labels of FILE, one JSON object a line, into the graph.

    A line is {"user_id" or "post_id", "task", "labels"}, or {"user_id", "topic"}. Importing the
    same file again changes nothing.
    """
    settings = checked_settings()
    if not file.is_file():
        raise SourceMissing(f"no labels at {file}: it is not a file")
    prepare_home(settings)
    decode = LabelDecoder.of(file)
    source = FileSource(file, decode=None if keep_going else decode)
    with (
        closing(source),
        closing(_open_graph()) as graph,
        closing(open_progress()) as progress,
        _statistics(progress) as projected,
    ):
        pipeline = Pipeline(
            source,
            graph,
            DeadLetterFile(settings.dead_letters_path),
            batch_size=settings.batch_size,
            decode=decode,
            keeps_positions=False,
        )
        run = Ingestion(
            settings, pipeline, progress=progress, statistics=projected, retire=_nothing
        )
        totals = run.run()
    click.echo(str(totals))
    source.check_complete()


@click.command()
@click.option(
    "--follow", is_flag=True, help="Keep the statistics up to date, until SIGINT or SIGTERM."
)
def statistics(follow: bool) -> None:
    """Compute the statistics of users whom new events changed, and write them to the online store
    and the history.
    """
    settings = checked_settings()
    prepare_home(settings)
    with closing(_open_graph()) as graph, open_consumer(graph, os.environ) as consumer, consumer:
        note = partial(click.echo, err=True)
        if follow:
            stop = StopRequest()
            with stop.listening():
                consumer.follow(
                    interval_seconds=settings.statistics_interval_seconds,
                    sleep=stop.sleep,
                    note=note,
                    progress=progress_lines(note, stop.check),
                )
        else:
            consumer.catch_up(progress_lines(note))
    report = consumer.projection.report
    click.echo(f"statistics: {report.num_written:,} users written, {report.num_deleted:,} deleted")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def status(as_json: bool) -> None:
    """Show the size of the graph, how far ingest and statistics are behind, the generations with
    their verdicts, the last run of each stage, and the number of dead letters.
    """
    from featurestore.generations.generation import Generations
    from ingest.status import read_status

    settings = checked_settings()
    with closing(_open_graph(read_only=True)) as graph, _online_store() as online:
        generations = Generations(FeatureStoreSettings.from_environ(os.environ))
        state = read_status(graph, online, generations, settings)
    click.echo(json.dumps(state.document()) if as_json else "\n".join(state.lines()))


@click.command()
def digest() -> None:
    """Print a hash of the content of the graph, for comparing two graphs.

    It is the same exactly when both hold the same users, posts, follows and labels, on any backend.
    """
    with closing(_open_graph(read_only=True)) as graph:
        click.echo(graph.digest())


def checked_settings() -> IngestSettings:
    """Those of ingest; those of the stores are checked too, before anything is written."""
    GraphSettings.from_environ(os.environ)
    FeatureStoreSettings.from_environ(os.environ)
    return IngestSettings.from_environ(os.environ)


@contextmanager
def _home(settings: IngestSettings, source: Source) -> Iterator[None]:
    """Make the home where it is missing; files are ingested into it by one process at a time.

    Workers on Kafka share their work by partitions, and need no lock.
    """
    prepare_home(settings)
    with (
        StageLock(settings.home, STAGE) if isinstance(source, FileSource) else nullcontext(),
        stage_run(settings.home, STAGE),
    ):
        yield


def _open_graph(*, read_only: bool = False) -> GraphStore:
    return open_graph(GraphSettings.from_environ(os.environ).graph_url, read_only=read_only)


@contextmanager
def _statistics(
    progress: Progress,
    observer: Observer | None = None,
    *,
    follow: bool = False,
    off: bool = False,
) -> Iterator[Statistics]:
    """The statistics of the graph, which must be there, in a process of their own."""
    if off:
        yield NoStatistics()
        return
    hear = _nothing if observer is None else observer.projected
    with statistics_process(follow=follow, note=progress.note, observer=hear) as running:
        yield running


@contextmanager
def _observer(settings: IngestSettings | None, progress: Progress) -> Iterator[Observer | None]:
    """The metrics that an endpoint serves, where MMGA_METRICS_PORT is set."""
    if settings is None or settings.metrics_port is None:
        yield None
        return
    from ingest.metrics import IngestMetrics, metrics_endpoint

    metrics = IngestMetrics()
    with metrics_endpoint(metrics, settings.metrics_host, settings.metrics_port) as address:
        progress.note(f"metrics at {address}/metrics")
        yield metrics


def _nothing(*_: object) -> None:
    """Do nothing: nobody observes, or there is nothing to retire."""


@contextmanager
def _online_store() -> Iterator["OnlineStore | None"]:
    """The online store, or None where it has not been made yet."""
    from featurestore.online.open import open_online_store
    from featurestore.settings import sqlite_path

    settings = FeatureStoreSettings.from_environ(os.environ)
    url = settings.online_store_url
    if url.startswith("sqlite:") and not sqlite_path(url).exists():
        yield None
        return
    with closing(open_online_store(settings, read_only=True)) as online:
        yield online
