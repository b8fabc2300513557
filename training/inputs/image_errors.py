"""Why an image cannot be had. These never leave post inputs: one image costs only itself.

    ImageError
    ├── ImageRefused      for good: a place, type or size that the settings do not allow, or broken
    └── ImageUnavailable  for now: not there yet, or its server does not answer

`reason` is a few fixed words, so that a report can count by it.
"""


class ImageError(Exception):
    """An image that cannot be had; `reason` names why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ImageRefused(ImageError):
    """Trying again would not help: the image is missing."""


class ImageUnavailable(ImageError):
    """Trying again later may help: the image is pending."""
