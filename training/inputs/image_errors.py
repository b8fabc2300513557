"""Errors of one image. Post inputs handle them, so that one image never fails a run.

    ImageError
    ├── ImageRefused      permanent: a location, type or size that is not allowed, or broken
    └── ImageUnavailable  temporary: not there yet, or its server does not answer

`reason` is a few fixed words, so that a report can count by it.
"""

BROKEN, BROKEN_ANSWER, NOT_FOUND = "not a readable image", "broken answer", "not found"

PASSING = frozenset({BROKEN, BROKEN_ANSWER, NOT_FOUND})
"""Reasons of refusals that may have come too early, in the midst of a copy or an upload."""


class ImageError(Exception):
    """An image cannot be read; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ImageRefused(ImageError):
    """Permanent: the image counts as missing."""


class ImageUnavailable(ImageError):
    """Temporary: the image counts as pending and is tried again."""
