"""The command that makes events of a crawl."""

import filecmp
import json
import os
from contextlib import closing
from pathlib import Path

import click

from featurestore.settings import FeatureStoreSettings
from foundation.durable_files import write_whole
from graphdb import open_graph
from graphdb.settings import GraphSettings
from graphdb.stage import StageLock
from ingest.dead_letters.file import DeadLetterFile
from ingest.errors import EventsFileUnusable, SourceMissing
from ingest.home import prepare_home
from ingest.ingestion import Ingestion
from ingest.instaloader.crawl import Crawl
from ingest.instaloader.inventory import Inventory
from ingest.instaloader.source import CrawlSource
from ingest.interpreter import prepare_for_stream
from ingest.pipeline import Pipeline
from ingest.progress import Totals, open_progress
from ingest.settings import IngestSettings
from ingest.statistics.process import statistics_process

STAGE = "ingest"


@click.command("import")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--to",
    "file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write the events to FILE instead, for `mmga ingest` or `mmga publish`.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the totals as one JSON document.")
def import_crawl(folder: Path, file: Path | None, as_json: bool) -> None:
    """Make events of DIR, a folder that Instaloader has filled, and write them to the graph.

    Read are profiles and posts (.json or .json.xz), the pictures beside them, and lists of
    followers or followees. Users are known by their usernames. What is not known is skipped and
    counted. Importing the same folder again changes nothing.
    """
    GraphSettings.from_environ(os.environ)
    FeatureStoreSettings.from_environ(os.environ)
    settings = IngestSettings.from_environ(os.environ)
    with closing(Inventory.of(folder)) as inventory:
        if file is None:
            crawl = Crawl(inventory, settings.media_root or inventory.folder)
            ingested = _ingest(crawl, settings)
            totals, last_line = ingested.document(), str(ingested)
        else:
            crawl = Crawl(inventory, file.absolute().parent)
            num_events = _write(crawl, file)
            totals, last_line = {"events": num_events}, f"{num_events:,} events written to {file}"
    if as_json:
        files = {**crawl.counts.document(), "skipped": crawl.skipped.document()}
        click.echo(json.dumps({**totals, "files": files}))
    else:
        click.echo("\n".join([str(crawl.counts), *crawl.skipped.lines(), last_line]))


def _ingest(crawl: Crawl, settings: IngestSettings) -> Totals:
    """Write the events to the graph, and then the statistics of users, as `mmga ingest` does."""
    _check_not_empty(crawl, crawl.num_files)
    graph_url = GraphSettings.from_environ(os.environ).graph_url
    prepare_home(settings)
    with (
        StageLock(settings.home, STAGE),
        closing(open_graph(graph_url)) as graph,
        closing(open_progress()) as progress,
        statistics_process(note=progress.note) as projected,
    ):
        pipeline = Pipeline(
            CrawlSource(crawl),
            graph,
            DeadLetterFile(settings.dead_letters_path),
            batch_size=settings.batch_size,
            keeps_positions=False,
            media_root=settings.media_root or crawl.folder,
        )
        run = Ingestion(
            settings, pipeline, progress=progress, statistics=projected, retire=_nothing
        )
        prepare_for_stream()
        totals = run.run()
    _note_images_elsewhere(crawl)
    _check_not_empty(crawl, not crawl.counts.is_empty)
    return totals


def _write(crawl: Crawl, file: Path) -> int:
    """Write the events to a file, whole or not at all; return their number.

    A file that is there already stays as it is: ingest may have read it, and what is read once may
    grow but not change.
    """
    num_events = 0

    def write(partial: Path) -> None:
        nonlocal num_events
        with partial.open("wb") as lines:
            for events in crawl.events():
                lines.writelines(line + b"\n" for line in events.lines)
                num_events += len(events.lines)
        _check_not_empty(crawl, not crawl.counts.is_empty)
        if file.exists() and not filecmp.cmp(partial, file, shallow=False):
            raise EventsFileUnusable(f"{file} holds something else already: name a new --to")

    try:
        write_whole(file, write)
    except OSError as error:
        raise EventsFileUnusable(
            f"cannot write events to {file}: {error.strerror or error}; name another file with --to"
        ) from error
    _note_images_elsewhere(crawl)
    return num_events


def _check_not_empty(crawl: Crawl, is_not_empty: object) -> None:
    if not is_not_empty:
        for line in crawl.skipped.lines():
            click.echo(line, err=True)
        raise SourceMissing(
            f"nothing to import at {crawl.folder}: it holds no profile, post or list of follows as"
            " Instaloader writes them (name the folder in which it ran)"
        )


def _note_images_elsewhere(crawl: Crawl) -> None:
    if crawl.has_images_elsewhere:
        click.echo(
            "warning: the events name pictures by absolute paths: run `mmga ingest` and"
            f" `mmga train` with MMGA_MEDIA_ROOT={crawl.folder}",
            err=True,
        )


def _nothing(*_: object) -> None:
    """Retire nothing: `mmga ingest` does."""
