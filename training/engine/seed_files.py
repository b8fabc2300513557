"""The files that the workers of one seed's training share; every worker must reach the folder."""

import secrets
from dataclasses import dataclass
from pathlib import Path

from foundation.durable_files import PARTIAL, write_text


@dataclass(frozen=True, slots=True, kw_only=False)
class SeedFiles:
    """The folder of one seed in a run's folder."""

    folder: Path

    @property
    def losses(self) -> Path:
        """Every step as a JSON object a line."""
        return self.folder / "losses.jsonl"

    @property
    def checkpoints(self) -> Path:
        """States to resume from."""
        return self.folder / "checkpoints"

    @property
    def attempt(self) -> str:
        """The name of the attempt that may write here."""
        return (self.folder / "attempt").read_text(encoding="utf-8")

    def take_over(self) -> str:
        """Begin an attempt; an earlier attempt that still runs can no longer write.

        Incomplete files of killed attempts are deleted.
        """
        name = secrets.token_hex(8)
        write_text(self.folder / "attempt", name)
        for left in self.folder.rglob(f"*{PARTIAL}"):
            left.unlink(missing_ok=True)
        return name
