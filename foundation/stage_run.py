"""The last run of each stage on a home: when it began, when it ended, and with what result.

HOME/stage_runs/STAGE.json
"""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from foundation.durable_files import write_text

FOLDER = "stage_runs"
OK = "ok"
INTERRUPTED = "interrupted"
MAX_RESULT = 500

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRun:
    """A run of a stage; `ended_at` and `result` are None while it runs, or where it was killed.

    The result is `ok`, `interrupted`, or the error in one line.
    """

    started_at: str
    ended_at: str | None = None
    result: str | None = None

    def __str__(self) -> str:
        if self.ended_at is None:
            return f"since {self.started_at}, not ended"
        return f"{self.result}, ended {self.ended_at}"


@contextmanager
def stage_run(home: Path, stage: str) -> Iterator[None]:
    """Record the block as the last run of a stage."""
    run = StageRun(started_at=_now())
    _save(home, stage, run)
    try:
        yield
    except Exception as error:
        _save(home, stage, replace(run, ended_at=_now(), result=_one_line(error)))
        raise
    except BaseException:
        _save(home, stage, replace(run, ended_at=_now(), result=INTERRUPTED))
        raise
    _save(home, stage, replace(run, ended_at=_now(), result=OK))


def stage_runs(home: Path) -> dict[str, StageRun]:
    """The last run of each stage that ever ran on this home, by name."""
    paths = sorted((home / FOLDER).glob("*.json"))
    return {path.stem: StageRun(**json.loads(path.read_text(encoding="utf-8"))) for path in paths}


def _save(home: Path, stage: str, run: StageRun) -> None:
    """Keep the record; a disk that is full fails the stage itself, not its record."""
    try:
        write_text(home / FOLDER / f"{stage}.json", json.dumps(asdict(run)))
    except OSError as error:
        logger.warning("the run of %s is not recorded: %s", stage, error)


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:MAX_RESULT]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
