"""How `mmga train` ends on a signal: in order, with one line and the exit status of the signal."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from foundation.stop import StopRequest
from training.settings import TrainingSettings


@contextmanager
def ending_in_order(*, is_fresh: bool) -> Iterator[StopRequest]:
    """Note signals in the block, which checks for them. Raises Interrupted when one ended it.

    `is_fresh` says that the command was given `--new`, which would not resume.
    """
    stop, known, is_complete = StopRequest(), runs_begun(), False
    with stop.listening():
        try:
            yield stop
            is_complete = True
        except Exception:
            if not stop.requested:  # else the signal reached what the block waited for, too
                raise
    if not is_complete:
        flag = " without --new" if is_fresh and runs_begun() - known else ""
        raise stop.interrupted(f"the same command{flag} goes on from where it was")


def runs_begun() -> set[str]:
    """The names of the runs of this home."""
    return {path.name for path in TrainingSettings.from_environ(os.environ).runs.glob("r*")}
