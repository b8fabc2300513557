"""Waiting for a database that is restarted."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from graphdb.errors import GraphUnreachable

PATIENCE_SECONDS = 600.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0

Answer = TypeVar("Answer")

logger = logging.getLogger(__name__)


def patiently(
    ask: Callable[[], Answer],
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Answer:
    """What `ask` answers, asked again while the database does not answer.

    Raises GraphUnreachable after PATIENCE_SECONDS of that.
    """
    until, pause = clock() + PATIENCE_SECONDS, FIRST_PAUSE_SECONDS
    while True:
        try:
            return ask()
        except GraphUnreachable as error:
            if clock() + pause > until:
                raise
            if pause == FIRST_PAUSE_SECONDS:
                logger.warning("waiting for the graph, up to %.0f s: %s", PATIENCE_SECONDS, error)
        sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
