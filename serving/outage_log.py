"""Failures of the feature store in the log: one line a minute, however many requests fail."""

import logging
import time
from collections.abc import Callable
from threading import Lock

from featurestore.errors import FeatureStoreError

logger = logging.getLogger(__name__)

EVERY_SECONDS = 60.0


class OutageLog:
    """Logs the first failure at once, then at most one line a minute."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._logged_at = float("-inf")
        self._num_untold = 0
        self._lock = Lock()

    def tell(self, error: FeatureStoreError) -> None:
        """Log a failure, or count it for the next line."""
        with self._lock:
            if self._clock() - self._logged_at < EVERY_SECONDS:
                self._num_untold += 1
                return
            self._logged_at = self._clock()
            num_untold, self._num_untold = self._num_untold, 0
        logger.error("%s (requests that failed since the last line: %d)", error, num_untold)
