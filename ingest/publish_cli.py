"""The command that sends events to Kafka."""

import os
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ingest.errors import NotAllPublished, SourceMissing
from ingest.progress import SECONDS_BETWEEN_LINES
from ingest.settings import IngestSettings

if TYPE_CHECKING:
    from ingest.kafka.publisher import Published

SHOWN_NUMBERS = 10


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--to", "url", metavar="kafka://HOST:PORT", help="The Kafka brokers [MMGA_EVENTS_URL]."
)
@click.option("--create-topics", is_flag=True, help="Create the topics that are missing.")
@click.option(
    "--partitions",
    type=click.IntRange(1, 10_000),
    default=12,
    show_default=True,
    help="Partitions of each topic that --create-topics creates.",
)
@click.option(
    "--unreadable-to",
    type=click.Choice(["users", "posts", "follows"]),
    help="Send lines whose event type cannot be read to this topic; without it they are not sent.",
)
def publish(
    file: Path, url: str | None, create_topics: bool, partitions: int, unreadable_to: str | None
) -> None:
    """Send the events of FILE to the Kafka topics of MMGA_PROJECT, one message a line.

    An event counts as sent when all in-sync replicas have acknowledged it. An event that is not
    valid is sent too, where its type can be read: ingest keeps it as a dead letter. After an error,
    run the command again: duplicates are harmless.
    """
    settings = IngestSettings.from_environ(os.environ)
    url = url or settings.events_url
    if url is None or not url.startswith("kafka://"):
        raise SourceMissing("no address of Kafka: give one with --to or MMGA_EVENTS_URL")
    if not file.is_file():
        raise SourceMissing(f"no events at {file}: it is not a file")
    from ingest.kafka.connection import KafkaConnection
    from ingest.kafka.publisher import Publisher
    from ingest.kafka.topics import ensure_topics

    connection = KafkaConnection.of(url, settings.kafka)
    ensure_topics(connection, settings.project, partitions=partitions if create_topics else None)
    started = time.monotonic()
    with closing(Publisher(connection, settings.project, unreadable_to=unreadable_to)) as publisher:
        published = publisher.publish(file, _ProgressLines(file.stat().st_size, started))
    seconds = time.monotonic() - started
    click.echo(
        f"{published.num_sent:,} events sent ({published.num_invalid:,} of them not valid),"
        f" {len(published.refused):,} lines refused, in {seconds:.1f} s"
        f" ({published.num_sent / seconds:,.0f} events/s)"
    )
    if published.num_paths:
        click.echo(
            f"{published.num_paths:,} posts name images by path: let `mmga train` run with"
            f" MMGA_MEDIA_ROOT={file.resolve().parent}, or where that folder lies then",
            err=True,
        )
    if published.refused:
        shown = ", ".join(map(str, published.refused[:SHOWN_NUMBERS]))
        more = ", …" if len(published.refused) > SHOWN_NUMBERS else ""
        raise NotAllPublished(
            f"{len(published.refused):,} lines of {file} were not sent, because their type cannot"
            f" be read or they are too large: {shown}{more}; correct them, or send those whose"
            " type cannot be read with --unreadable-to"
        )


class _ProgressLines:
    """A line on stderr every few seconds."""

    def __init__(self, num_bytes: int, started: float) -> None:
        self._num_bytes = num_bytes
        self._started = self._last = started

    def __call__(self, published: "Published", done: int) -> None:
        now = time.monotonic()
        if now - self._last >= SECONDS_BETWEEN_LINES:
            self._last = now
            rate = published.num_sent / (now - self._started)
            click.echo(
                f"publish: {done / self._num_bytes:.0%} read, {published.num_sent:,} events sent"
                f" ({rate:,.0f}/s)",
                err=True,
            )
