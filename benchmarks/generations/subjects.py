"""All that is measured of generations, one file a subject, as one table."""

from collections.abc import Mapping
from typing import Any

from benchmarks.generations import encoding, publishing
from benchmarks.measure import Row

QUICK = {"encoding_options": encoding.QUICK, "publishing_options": publishing.QUICK}

Options = Mapping[str, Any]


def run(
    *, encoding_options: Options | None = None, publishing_options: Options | None = None
) -> list[Row]:
    """The rows of every subject."""
    return [
        *encoding.run(**(encoding_options or {})),
        *publishing.run(**(publishing_options or {})),
    ]
