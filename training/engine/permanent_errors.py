"""Ends a training at an error that would come again, which Ray would try anew."""

from typing import Any

from ray.train import UserCallback

from training.errors import LASTING


class EndAtPermanentError(UserCallback):
    """Called by Ray Train's controller; what it raises ends the training without a retry."""

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Raise the first permanent error of a worker."""
        for _, error in sorted(worker_exceptions.items()):
            if isinstance(error, LASTING):
                raise error
