"""Counts of the images that posts refer to, by outcome."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReport:
    """Numbers of distinct images: ok, missing and pending with reasons, and read in this call."""

    num_ok: int
    missing: dict[str, int]
    pending: dict[str, int]
    num_read: int
