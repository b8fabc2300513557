"""All that is measured of generations, one file a subject, as one table."""

from collections.abc import Mapping
from typing import Any

from benchmarks.generations import encoding
from benchmarks.measure import Row

QUICK = {"encoding_options": encoding.QUICK}


def run(*, encoding_options: Mapping[str, Any] | None = None) -> list[Row]:
    """The rows of every subject."""
    return encoding.run(**(encoding_options or {}))
