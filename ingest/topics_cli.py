"""The command that makes the topics of events."""

import os

import click

from ingest.errors import SourceMissing
from ingest.settings import IngestSettings


@click.command()
@click.option(
    "--partitions",
    type=click.IntRange(1, 10_000),
    default=12,
    show_default=True,
    help="Of each topic that is made: the most workers that can share the work.",
)
def topics(partitions: int) -> None:
    """Make the topics of MMGA_PROJECT that are missing, in Kafka at MMGA_EVENTS_URL.

    Those that are there stay as they are. Ingest makes those of dead letters.
    """
    settings = IngestSettings.from_environ(os.environ)
    if settings.events_url is None or not settings.events_url.startswith("kafka://"):
        raise SourceMissing("no address of Kafka: set MMGA_EVENTS_URL=kafka://HOST:PORT")
    from ingest.kafka.connection import KafkaConnection
    from ingest.kafka.topics import create_topics, event_topics

    connection = KafkaConnection.of(settings.events_url, settings.kafka)
    names = event_topics(settings.project)
    made = create_topics(connection, names, partitions=partitions)
    for name in names:
        click.echo(f"{name}: {'made' if name in made else 'was there'}")
