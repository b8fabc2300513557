"""How ingestion runs: read from the environment once, then passed down."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestSettings:
    """The home, where events come from, how much is committed at once and how long is kept what.

    `media_root` is where relative paths of images start; None is the folder of the events.
    """

    home: Path
    project: str = "mmga"
    events_url: str | None = None
    media_root: Path | None = None
    batch_size: int = 10_000
    dead_letter_days: int = 90
    change_days: int = 7
    max_changes: int = 10_000_000
    retention_interval_seconds: float = 3600.0
    statistics_interval_seconds: float = 10.0
    poll_seconds: float = 0.5

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read MMGA_HOME, MMGA_PROJECT, MMGA_EVENTS_URL and MMGA_MEDIA_ROOT."""
        media_root = environ.get("MMGA_MEDIA_ROOT")
        return cls(
            home=Path(environ.get("MMGA_HOME") or ".mmga").absolute(),
            project=environ.get("MMGA_PROJECT") or "mmga",
            events_url=environ.get("MMGA_EVENTS_URL") or None,
            media_root=Path(media_root).absolute() if media_root else None,
        )

    @property
    def dead_letters_path(self) -> Path:
        """The file of dead letters."""
        return self.home / "dead_letters.jsonl"

    @property
    def media_root_path(self) -> Path:
        """The file that records where relative paths of images start."""
        return self.home / "media_root"
