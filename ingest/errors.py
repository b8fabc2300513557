"""Errors of ingestion.

    IngestError
    ├── EventRejected    one event is at fault; it becomes a dead letter and its neighbours go on
    ├── SourceMissing    there is nothing to read at the path or URL
    ├── SourceIncomplete    some of the files could not be read; all others were
    ├── NotEvents        a file is something else than events, one a line
    ├── ArchiveBroken    a compressed file is cut short or damaged
    ├── SourceChanged    the source is no longer the one whose positions are stored
    ├── PartitionsMoved  other partitions are ours now: read their positions and go on from there
    ├── BrokerUnreachable    a broker does not answer for now: the same call may succeed later
    ├── BrokerRefused    a broker refuses for a reason that does not pass (rights, secrets)
    ├── CodecMissing     messages are compressed by a codec that is not installed
    ├── SourceTaken      workers of another graph read the topics of the project
    ├── NotAllPublished  lines of a file cannot be sent to Kafka; all others were
    ├── DeadLettersUnwritable    dead letters cannot be kept (disk, permission): nothing goes on
    ├── DeadLetterUnknown    no dead letter stands at a position that was named
    ├── MetricsAddressTaken  nothing can listen for scrapes at the host and port of the settings
    ├── EventsFileUnusable   events cannot be written to a file, or it holds others already
    ├── StatisticsFailed the statistics, in their own process, ended by an error
    └── HomeUnusable     the home folder cannot be created or written

Every message names the thing, the value and the remedy.
"""


class IngestError(Exception):
    """Root of the errors that `ingest` raises."""


class EventRejected(IngestError):
    """One event is at fault; the message is its reason, in one line."""


class SourceMissing(IngestError):
    """There is nothing to read at the path or URL."""


class SourceIncomplete(IngestError):
    """Some of the files could not be read; all others were."""


class NotEvents(IngestError):
    """A file is something else than events, one a line."""


class ArchiveBroken(IngestError):
    """A compressed file is cut short or damaged."""


class SourceChanged(IngestError):
    """The source is no longer the one whose positions are stored."""


class PartitionsMoved(IngestError):
    """Other partitions are ours now; what was read and not committed is to be dropped."""


class BrokerUnreachable(IngestError):
    """A broker does not answer, or refuses for a reason that passes; the call may be repeated."""


class BrokerRefused(IngestError):
    """A broker refuses for a reason that does not pass."""


class CodecMissing(IngestError):
    """Messages are compressed by a codec that is not installed."""


class SourceTaken(IngestError):
    """Workers of another graph read the topics of the project."""


class NotAllPublished(IngestError):
    """Lines of a file cannot be sent to Kafka; all others were."""


class DeadLettersUnwritable(IngestError):
    """Dead letters cannot be kept, so their batch may not be committed."""


class DeadLetterUnknown(IngestError):
    """No dead letter stands at a position that was named."""


class MetricsAddressTaken(IngestError):
    """Nothing can listen for scrapes at the host and port of the settings."""


class EventsFileUnusable(IngestError):
    """Events cannot be written to a file, or it holds others already."""


class HomeUnusable(IngestError):
    """The home folder cannot be created or written."""


class StatisticsFailed(IngestError):
    """The process of the statistics ended by an error; a note has its traceback."""
