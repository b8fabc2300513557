"""Errors of ingestion.

    IngestError
    ├── EventRejected    one event is at fault; it becomes a dead letter and its neighbours go on
    ├── SourceMissing    there is nothing to read at the path or URL
    ├── SourceChanged    the source is no longer the one whose positions are stored
    ├── HomeUnusable     the home folder cannot be created or written
    └── Interrupted      a signal ended the work before its end

Every message names the thing, the value and the remedy.
"""


class IngestError(Exception):
    """Root of the errors that `ingest` raises."""


class EventRejected(IngestError):
    """One event is at fault; the message is its reason, in one line."""


class SourceMissing(IngestError):
    """There is nothing to read at the path or URL."""


class SourceChanged(IngestError):
    """The source is no longer the one whose positions are stored."""


class HomeUnusable(IngestError):
    """The home folder cannot be created or written."""


class Interrupted(IngestError):
    """A signal ended the work before its end; what was committed stays."""
