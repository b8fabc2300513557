"""The command that creates the topics of events."""

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
    help="Partitions of each new topic; at most so many ingest workers share a topic.",
)
def topics(partitions: int) -> None:
    """Create the missing Kafka topics of MMGA_PROJECT at MMGA_EVENTS_URL.

    Existing topics stay as they are. `mmga ingest` creates the topics of dead letters.
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
