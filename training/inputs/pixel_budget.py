"""Bounds the memory in which readers decode images at one time."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

from training.inputs.image_errors import ImageRefused


class PixelBudget:
    """Bytes that all readers of a process share for pixels; one that finds too few waits."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.num_free_bytes = max_bytes
        self._freed = Condition()

    @contextmanager
    def holding(self, num_bytes: int) -> Iterator[None]:
        """Take so many bytes for the block. Raises ImageRefused for more than there are at all."""
        if num_bytes > self.max_bytes:
            raise ImageRefused("needs too much memory")
        with self._freed:
            self._freed.wait_for(lambda: self.num_free_bytes >= num_bytes)
            self.num_free_bytes -= num_bytes
        try:
            yield
        finally:
            with self._freed:
                self.num_free_bytes += num_bytes
                self._freed.notify_all()
