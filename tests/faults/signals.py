"""Rules of a proxy that signal the worker whose message they hear."""

from collections.abc import Callable
from typing import Any

from tests.faults.bolt_wire import BoltMessage
from tests.faults.worker import Worker

Moment = Callable[[Any], bool]
"""Whether a message is the one at which something is to happen."""


class Kill:
    """A rule: at the first message of its kind the worker is killed; nothing passes any more."""

    def __init__(self, worker: Worker, moment: Moment) -> None:
        self._worker = worker
        self._moment = moment
        self.heard: Any = None

    def __call__(self, message: Any) -> bool:
        if self.heard is None and self._moment(message):
            self.heard = message
            self._worker.kill()
        return self.heard is None


class Stop:
    """A rule: at the first message of its kind the worker is stopped; all passes."""

    def __init__(self, worker: Worker, moment: Moment) -> None:
        self._worker = worker
        self._moment = moment
        self.heard: Any = None

    def __call__(self, message: Any) -> bool:
        if self.heard is None and self._moment(message):
            self._worker.stop()
            self.heard = message
        return True


def has_committed(message: BoltMessage) -> bool:
    """Whether a batch hears that it was committed."""
    return message.confirms_commit


def holds_lock(message: BoltMessage) -> bool:
    """Whether a batch hears that it holds the lock on the version."""
    request = message.request
    return message.name == "RECORD" and request is not None and _num_run(request) == 1


def step(number: int) -> Moment:
    """The request to run the n-th statement of a batch, or to commit one of fewer statements."""
    return lambda message: (
        message.is_step
        and (message.is_commit or (message.name == "RUN" and _num_run(message) >= number))
    )


def _num_run(message: BoltMessage) -> int:
    transaction = message.transaction
    return len(transaction.statements) if transaction is not None and transaction.is_batch else 0
