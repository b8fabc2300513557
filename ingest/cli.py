"""Commands of ingestion: ingest, labels, dead-letters, statistics, status, digest."""

import json
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from graphdb import open_graph
from graphdb.settings import GraphSettings
from graphdb.stage import StageLock
from graphdb.store import GraphStore
from ingest.dead_letters.file import DeadLetterFile
from ingest.dead_letters.open import all_letters, open_letters
from ingest.dead_letters.replay import Replay, replay_letters
from ingest.errors import SourceMissing
from ingest.events.labels import LabelDecoder
from ingest.home import prepare_home, record_media_root
from ingest.ingestion import Ingestion, Observer, enforce_retention, rewind
from ingest.interpreter import prepare_for_stream
from ingest.pipeline import Pipeline
from ingest.progress import Progress, open_progress
from ingest.settings import IngestSettings
from ingest.sources.files import FileSource
from ingest.sources.open import open_source
from ingest.sources.source import Source
from ingest.statistics.open import Project, open_consumer, progress_lines, statistics_projection
from ingest.stop import StopRequest

if TYPE_CHECKING:
    from featurestore.online.store import OnlineStore

STAGE = "ingest"
MAX_BATCH_SIZE = 10_000


@click.command()
@click.option(
    "--events",
    "events_url",
    help="A .jsonl file, a folder of them, or kafka://HOST:PORT [MMGA_EVENTS_URL].",
)
@click.option("--follow", is_flag=True, help="Wait for more until a signal comes.")
@click.option(
    "--from",
    "start",
    metavar="earliest|TIME",
    help="Read again from the beginning, or from the first event at or after a time.",
)
@click.option("--no-statistics", is_flag=True, help="Do not project the statistics of users.")
@click.option(
    "--batch-size",
    type=click.IntRange(1, MAX_BATCH_SIZE),
    default=MAX_BATCH_SIZE,
    show_default=True,
    help="Events a commit.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the totals as one JSON document.")
def ingest(
    events_url: str | None,
    follow: bool,
    start: str | None,
    no_statistics: bool,
    batch_size: int,
    as_json: bool,
) -> None:
    """Stream events into the graph, exactly once, and project the statistics of users.

    A run goes on where the last one ended, however that ended. Events that cannot be applied become
    dead letters and do not change the exit status.
    """
    settings = replace(IngestSettings.from_environ(os.environ), batch_size=batch_size)
    url = events_url or settings.events_url
    if url is None:
        raise SourceMissing("no events: name a file or folder with --events or MMGA_EVENTS_URL")
    with (
        closing(open_source(url, settings.source(follow=follow))) as source,
        _home(settings, source),
        closing(_open_graph()) as graph,
        closing(open_progress()) as progress,
        _projection(graph, progress, off=no_statistics) as project,
        open_letters(url, settings, prepare=True) as letters,
        _observer(settings if follow else None, progress) as observer,
    ):
        if start is not None:
            rewind(graph, source, start)
        if isinstance(source, FileSource):
            record_media_root(settings, settings.media_root or source.folder)
        elif settings.media_root is not None:
            record_media_root(settings, settings.media_root)
        run = Ingestion(
            settings,
            Pipeline(source, graph, letters, batch_size=settings.batch_size),
            progress=progress,
            project=project,
            retire=partial(enforce_retention, settings, graph, letters),
            observer=observer,
        )
        prepare_for_stream()
        totals = run.run(follow=follow)
    click.echo(json.dumps(totals.document()) if as_json else str(totals))


@click.group()
def labels() -> None:
    """Import labels as events."""


@labels.command("import")
@click.argument("file", type=click.Path(path_type=Path))
def import_labels(file: Path) -> None:
    """Import {"user_id" | "post_id", "task", "labels"} or {"user_id", "topic"}, one a line.

    Importing the same file again changes nothing.
    """
    settings = IngestSettings.from_environ(os.environ)
    if not file.is_file():
        raise SourceMissing(f"no labels at {file}: it is not a file")
    prepare_home(settings)
    source = FileSource(file)
    with (
        closing(source),
        closing(_open_graph()) as graph,
        closing(open_progress()) as progress,
        _projection(graph, progress, off=False) as project,
    ):
        pipeline = Pipeline(
            source,
            graph,
            DeadLetterFile(settings.dead_letters_path),
            batch_size=settings.batch_size,
            decode=LabelDecoder.of(file),
            keeps_positions=False,
        )
        run = Ingestion(settings, pipeline, progress=progress, project=project, retire=_nothing)
        totals = run.run()
    click.echo(str(totals))


@click.group()
def dead_letters() -> None:
    """Show events that could not be applied, or send them again."""


@dead_letters.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_dead_letters(as_json: bool) -> None:
    """List each rejected event once: where it stood and why it was rejected."""
    settings = IngestSettings.from_environ(os.environ)
    with all_letters(settings) as kept:
        letters = [letter for each in kept for letter in each.read()]
    if as_json:
        click.echo(json.dumps([letter.document() for letter in letters]))
        return
    for letter in letters:
        click.echo(f"{letter.source}:{letter.partition}:{letter.offset}  {letter.reason}")
    click.echo(f"{len(letters):,} dead letters")


@dead_letters.command("replay")
@click.option("--json", "as_json", is_flag=True, help="Print the totals as one JSON document.")
def replay_dead_letters(as_json: bool) -> None:
    """Send rejected events again whose reason has passed.

    Those of files are applied to the graph; those of Kafka are sent to their topics again, for
    ingest to read. Letters of events that are still rejected stay as they are. An event that was
    cut for its length cannot be sent again.
    """
    settings = IngestSettings.from_environ(os.environ)
    with all_letters(settings) as kept, closing(_open_graph()) as graph:
        replay = sum((replay_letters(each, graph) for each in kept), start=Replay())
    click.echo(json.dumps(asdict(replay)) if as_json else str(replay))


@click.command()
@click.option("--follow", is_flag=True, help="Go on projecting until a signal comes.")
def statistics(follow: bool) -> None:
    """Project the statistics of users from the graph to the online store and the history."""
    settings = IngestSettings.from_environ(os.environ)
    prepare_home(settings)
    with closing(_open_graph()) as graph, open_consumer(graph, os.environ) as consumer, consumer:
        report = consumer.catch_up(progress_lines(partial(click.echo, err=True)))
        if follow:
            stop = StopRequest()
            with stop.listening():
                while True:
                    stop.sleep(settings.poll_seconds)
                    consumer.catch_up(lambda *_: stop.check())
    click.echo(f"statistics: {report.num_written:,} users written, {report.num_deleted:,} deleted")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def status(as_json: bool) -> None:
    """Show the graph, the stages behind it, the active generation and the dead letters."""
    from ingest.status import read_status

    settings = IngestSettings.from_environ(os.environ)
    with closing(_open_graph(read_only=True)) as graph, _online_store() as online:
        state = read_status(graph, online, settings)
    click.echo(json.dumps(state.document()) if as_json else "\n".join(state.lines()))


@click.command()
def digest() -> None:
    """Print one word that is the same exactly when two graphs hold the same state."""
    with closing(_open_graph(read_only=True)) as graph:
        click.echo(graph.digest())


@contextmanager
def _home(settings: IngestSettings, source: Source) -> Iterator[None]:
    """Make the home where it is missing; files are ingested into it by one process at a time.

    Workers on Kafka share their work by partitions, and need no lock.
    """
    prepare_home(settings)
    with StageLock(settings.home, STAGE) if isinstance(source, FileSource) else nullcontext():
        yield


def _open_graph(*, read_only: bool = False) -> GraphStore:
    return open_graph(GraphSettings.from_environ(os.environ).graph_url, read_only=read_only)


@contextmanager
def _projection(graph: GraphStore, progress: Progress, *, off: bool) -> Iterator[Project]:
    if off:
        yield _nothing
    else:
        with statistics_projection(graph, os.environ, progress.note) as project:
            yield project


@contextmanager
def _observer(settings: IngestSettings | None, progress: Progress) -> Iterator[Observer | None]:
    """What scrapes are answered from, where MMGA_METRICS_PORT is set."""
    if settings is None or settings.metrics_port is None:
        yield None
        return
    from ingest.metrics import IngestMetrics, metrics_endpoint

    metrics = IngestMetrics()
    with metrics_endpoint(metrics, settings.metrics_host, settings.metrics_port) as address:
        progress.note(f"metrics at {address}/metrics")
        yield metrics


def _nothing(*_: object) -> None:
    """Where no statistics are to be projected, or nothing to be retired."""


@contextmanager
def _online_store() -> Iterator["OnlineStore | None"]:
    """The online store, or None where it has not been made yet."""
    from featurestore.online.open import open_online_store
    from featurestore.settings import FeatureStoreSettings, sqlite_path

    settings = FeatureStoreSettings.from_environ(os.environ)
    url = settings.online_store_url
    if url.startswith("sqlite:") and not sqlite_path(url).exists():
        yield None
        return
    with closing(open_online_store(settings, read_only=True)) as online:
        yield online
