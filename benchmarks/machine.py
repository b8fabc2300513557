"""What figures were measured on, and with which code."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path


def machine() -> str:
    """Date, commit, processor, cores, Python and load, in a line."""
    return (
        f"{datetime.now(UTC):%Y-%m-%d} · commit {commit()} · {cpu_model()} · "
        f"{len(os.sched_getaffinity(0))} cores · Python {platform.python_version()}"
        f" · load {os.getloadavg()[0]:.1f}"
    )


def commit() -> str:
    """The commit of the working folder, `-dirty` where files differ from it."""
    found = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return found.stdout.strip() or "unknown"


def cpu_model() -> str:
    """The processor's name as Linux tells it."""
    with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
