"""Retries while a database is restarted."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_before_delay,
    wait_exponential,
)

from graphdb.errors import GraphUnreachable

PATIENCE_SECONDS = 600.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0

Answer = TypeVar("Answer")

logger = logging.getLogger(__name__)


def retry(ask: Callable[[], Answer], *, sleep: Callable[[float], None] = time.sleep) -> Answer:
    """The result of `ask`, which is called again while the database is unavailable.

    Raises GraphUnreachable after PATIENCE_SECONDS.
    """
    retrying = Retrying(
        retry=retry_if_exception_type(GraphUnreachable),
        wait=wait_exponential(multiplier=FIRST_PAUSE_SECONDS, max=LONGEST_PAUSE_SECONDS),
        stop=stop_before_delay(PATIENCE_SECONDS),
        before_sleep=_log_first,
        sleep=sleep,
        reraise=True,
    )
    return retrying(ask)


def _log_first(state: RetryCallState) -> None:
    if state.attempt_number == 1 and state.outcome is not None:
        error = state.outcome.exception()
        logger.warning("waiting for the graph, up to %.0f s: %s", PATIENCE_SECONDS, error)
