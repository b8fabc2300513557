"""Resident memory of this process, as Linux tells it."""

import ctypes
from dataclasses import dataclass
from pathlib import Path

STATUS = Path("/proc/self/status")
FORGET_PEAK = "5"


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes: all that is resident, its peak, and what of it are pages of mapped files.

    Pages of files are shared with other processes, and given up when memory is short.
    """

    resident: int
    peak: int
    of_files: int


def memory() -> Memory:
    """What is resident now."""
    kilobytes = {
        name: int(value.split()[0])
        for name, _, value in (line.partition(":") for line in STATUS.read_text().splitlines())
        if name in {"VmRSS", "VmHWM", "RssFile"}
    }
    return Memory(
        resident=1024 * kilobytes["VmRSS"],
        peak=1024 * kilobytes["VmHWM"],
        of_files=1024 * kilobytes["RssFile"],
    )


def forget_peak() -> None:
    """Give back what was freed, and let the peak begin anew at what is resident then."""
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text(FORGET_PEAK)
