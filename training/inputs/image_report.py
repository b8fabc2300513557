"""What became of the images that posts refer to."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReport:
    """How many distinct images are ok, missing and pending, why, and how many were read now."""

    num_ok: int
    missing: dict[str, int]
    pending: dict[str, int]
    num_read: int
