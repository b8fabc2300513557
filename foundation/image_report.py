"""Counts of the images that posts refer to, by outcome, as training saw them last."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from foundation.durable_files import write_text


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReport:
    """Numbers of distinct images: ok, missing and pending with reasons, and read in this call.

    `stale` are those of the ok ones that could not be read again, with the reasons; they stay as
    they were read before.
    """

    num_ok: int
    missing: dict[str, int]
    pending: dict[str, int]
    num_read: int
    stale: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        states = {"kept from before": self.stale, "missing": self.missing, "pending": self.pending}
        parts = [
            f"{sum(reasons.values()):,} {state} ({listed(reasons)})"
            for state, reasons in states.items()
            if reasons
        ]
        return ", ".join([f"{self.num_ok:,} ok", *parts])


def listed(reasons: Mapping[str, int]) -> str:
    """Reasons with their numbers."""
    return ", ".join(f"{reason}: {number:,}" for reason, number in reasons.items())


def write_image_report(home: Path, graph_id: str, report: ImageReport) -> None:
    """Keep the report of a graph's images as the last one."""
    write_text(place(home, graph_id), json.dumps(asdict(report)))


def read_image_report(home: Path, graph_id: str) -> ImageReport | None:
    """The last report; None where there is none of this graph."""
    path = place(home, graph_id)
    return ImageReport(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


def place(home: Path, graph_id: str) -> Path:
    """The file of a graph's last report."""
    return home / "post_inputs" / f"images-{graph_id}.json"
