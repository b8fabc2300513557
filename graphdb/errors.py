"""Errors of the graph.

    GraphError
    ├── GraphUnavailable     the store cannot be opened, read or written (path, permission, disk)
    │   ├── GraphUnreachable     a server does not answer for now: the same call may succeed later
    │   └── CommitUnknown        the answer to a commit was lost: read the positions to learn it
    ├── GraphBusy            another process holds a lock that this one needs
    ├── StageBusy            another process runs this stage on this home
    ├── FormatRefused        the store was written by another version of this software
    ├── PositionConflict     the stored stream positions are not those that the batch expected
    ├── ChangesTrimmed       the feed no longer reaches back to the version asked for
    ├── SnapshotMissing      no snapshot of that graph and version
    └── SnapshotCorrupt      a snapshot's file does not match its checksum

Every message names the thing, the value and the remedy.
"""


class GraphError(Exception):
    """Root of the errors that `graphdb` raises."""


class GraphUnavailable(GraphError):
    """The store cannot be opened, read or written."""


class GraphUnreachable(GraphUnavailable):
    """A server does not answer, or refuses for a reason that passes; the call may be repeated."""


class CommitUnknown(GraphUnavailable):
    """The connection broke between a commit and its answer; the positions show which."""


class GraphBusy(GraphError):
    """Another process holds a lock that this one needs."""


class StageBusy(GraphError):
    """Another process runs this stage on this home."""


class FormatRefused(GraphError):
    """The store was written by another version of this software."""


class PositionConflict(GraphError):
    """The stored stream positions are not those that the batch expected; nothing was applied."""


class ChangesTrimmed(GraphError):
    """The feed no longer reaches back to the version asked for; the consumer must rebuild."""


class SnapshotMissing(GraphError):
    """There is no snapshot of that graph and version."""


class SnapshotCorrupt(GraphError):
    """A snapshot's file does not match its checksum."""
