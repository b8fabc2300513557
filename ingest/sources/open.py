"""Opens the source of events that a URL names."""

from collections.abc import Callable
from pathlib import Path

from ingest.errors import SourceMissing
from ingest.events.decoding import decode
from ingest.sources.source import Source, SourceSettings


def open_source(url: str, settings: SourceSettings | None = None) -> Source:
    """The source at a path or URL; raises SourceMissing when there is none."""
    scheme, separator, _ = url.partition("://")
    opener = _OPENERS.get(scheme if separator else "file")
    if opener is None:
        raise SourceMissing(
            f"cannot read events from {scheme}://…: give the path of a .jsonl file or of a folder"
            " of them, or kafka://HOST:PORT (--events or MMGA_EVENTS_URL)"
        )
    return opener(url, settings or SourceSettings(kafka={}))


def _open_files(url: str, settings: SourceSettings) -> Source:
    from ingest.sources.event_files import find_event_files
    from ingest.sources.files import FileSource

    path = Path(url.removeprefix("file://"))
    found = find_event_files(path)
    if not (found.files or found.faults or settings.wait):
        raise SourceMissing(
            f"no events in folder {path}: it has no .jsonl file, compressed or not"
            f"{found.describe_others()} (--follow waits for one)"
        )
    return FileSource(
        path,
        wait_seconds=settings.poll_seconds if settings.wait else 0.0,
        decode=None if settings.keep_going else decode,
        note=settings.note,
    )


def _open_kafka(url: str, settings: SourceSettings) -> Source:
    from ingest.kafka.source import open_kafka_source

    return open_kafka_source(url, settings)


_OPENERS: dict[str, Callable[[str, SourceSettings], Source]] = {
    "file": _open_files,
    "kafka": _open_kafka,
}
