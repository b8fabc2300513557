"""Opens the dead letters that belong to a source of events."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from ingest.dead_letters.dead_letter import DeadLetters
from ingest.dead_letters.file import DeadLetterFile
from ingest.settings import IngestSettings

KAFKA = "kafka://"


@contextmanager
def open_dead_letters(
    url: str | None, settings: IngestSettings, *, prepare: bool = False
) -> Iterator[DeadLetters]:
    """The dead letters of the events at a URL: those of Kafka are kept in Kafka.

    `prepare` makes what is missing before the first dead letter comes.
    """
    if url is None or not url.startswith(KAFKA):
        yield DeadLetterFile(settings.dead_letters_path)
        return
    from ingest.kafka.connection import KafkaConnection
    from ingest.kafka.dead_letters import KafkaDeadLetters

    connection = KafkaConnection.of(url, settings.kafka)
    letters = KafkaDeadLetters(connection, settings.project, days=settings.dead_letter_days)
    try:
        if prepare:
            letters.prepare()
        yield letters
    finally:
        letters.close()


@contextmanager
def all_dead_letters(settings: IngestSettings) -> Iterator[list[DeadLetters]]:
    """Those of files, and those of Kafka where the events come from there."""
    with ExitStack() as opened:
        urls = [None, settings.events_url] if is_kafka(settings.events_url) else [None]
        yield [opened.enter_context(open_dead_letters(url, settings)) for url in urls]


def is_kafka(url: str | None) -> bool:
    """Whether events come from Kafka."""
    return url is not None and url.startswith(KAFKA)
