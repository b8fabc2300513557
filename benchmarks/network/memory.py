"""Memory of this process, as Linux tells it."""

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STATUS = Path("/proc/self/status")
SECONDS_BETWEEN_LOOKS = 0.02


class Peaks:
    """The most bytes seen so far: the process's own, and with pages of the files that it maps.

    Pages of files are shared with other processes, and given up when memory is short.
    """

    def __init__(self) -> None:
        self.own = self.with_files = 0

    def look(self) -> None:
        """Note what there is now."""
        own, files = memory()
        self.own, self.with_files = max(self.own, own), max(self.with_files, own + files)


def memory() -> tuple[int, int]:
    """Resident bytes of the process's own, and of pages of mapped files."""
    kilobytes = {
        name: int(value.split()[0])
        for name, _, value in (line.partition(":") for line in STATUS.read_text().splitlines())
        if name in {"RssAnon", "RssShmem", "RssFile"}
    }
    own = kilobytes["RssAnon"] + kilobytes["RssShmem"]
    return 1024 * own, 1024 * kilobytes["RssFile"]


@contextmanager
def watched() -> Iterator[Peaks]:
    """Look fifty times a second until the block ends."""
    peaks, done = Peaks(), threading.Event()

    def watch() -> None:
        while not done.wait(SECONDS_BETWEEN_LOOKS):
            peaks.look()

    watcher = threading.Thread(target=watch, daemon=True)
    peaks.look()
    watcher.start()
    try:
        yield peaks
    finally:
        done.set()
        watcher.join()
        peaks.look()


def give_back() -> None:
    """Give memory that was freed back to the system, so that it does not count as used."""
    ctypes.CDLL(None).malloc_trim(0)
