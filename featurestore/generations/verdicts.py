"""Verdicts on a generation: an append-only log beside its folder, which is sealed.

GENERATIONS/GENERATION.verdicts.jsonl    one verdict a line, oldest first
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from featurestore.definitions import checked
from foundation.durable_files import write_text

Kind = Literal["promotion", "forced", "rolled back"]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a generation may be active, why, and the figures by check.

    `reasons` are the flaws of a promotion that failed, else the reason that a person gave.
    """

    kind: Kind
    ok: bool
    reasons: tuple[str, ...] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)
    time: str = field(default_factory=_now)

    @property
    def outcome(self) -> str:
        """The verdict in one word or two."""
        if self.kind == "promotion":
            return "promoted" if self.ok else "refused"
        return self.kind


class VerdictLog:
    """The verdicts on one generation. One process appends at a time: it publishes."""

    def __init__(self, generations_root: Path, generation_id: str) -> None:
        self.path = generations_root / f"{checked(generation_id)}.verdicts.jsonl"

    def append(self, verdict: Verdict) -> None:
        """Add a verdict, which is on the disk when this returns, whole or not at all."""
        before = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        line = json.dumps(asdict(verdict), sort_keys=True)
        write_text(self.path, f"{before}{line}\n")

    def read(self) -> list[Verdict]:
        """All verdicts, oldest first."""
        if not self.path.exists():
            return []
        lines = self.path.read_text(encoding="utf-8").splitlines()
        values = [json.loads(line) for line in lines]
        return [Verdict(**{**each, "reasons": tuple(each["reasons"])}) for each in values]

    def last(self) -> Verdict | None:
        """The newest verdict."""
        return next(reversed(self.read()), None)

    def promotion(self) -> Verdict | None:
        """The newest verdict of promotion."""
        return next((each for each in reversed(self.read()) if each.kind == "promotion"), None)

    def drop(self) -> None:
        """Delete the log."""
        self.path.unlink(missing_ok=True)
