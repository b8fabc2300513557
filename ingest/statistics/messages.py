"""What ingest and the process of the statistics say to each other, over one pipe.

Ingest asks with CATCH_UP, and with END to end in good order, which closing its end does as well.
Passes are told as PassReport.
"""

from dataclasses import dataclass

from graphdb.consumer import PassReport

CATCH_UP = "catch up"
END = "end"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """All that the stage needs is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something a person should know."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CaughtUp:
    """The statistics are up to date, or left to another process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The stage has ended: the error in one line, and where it was raised."""

    error: str
    traceback: str


Message = Ready | Note | CaughtUp | Failed | PassReport
