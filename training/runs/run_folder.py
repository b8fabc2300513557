"""The folder of a run: its request, its progress, its losses and its models.

    RUN/run.json                 the request, the pinned snapshot and the status
    RUN/tokenizer.json           the vocabulary of the run
    RUN/post_inputs              the path of its post inputs
    RUN/seed-K/losses.jsonl      every loss of every step
    RUN/seed-K/model.safetensors, summary.json     when that seed's training has ended
    RUN/seed-K/checkpoints/      the last two of a training that has not
    RUN/seed-K/NAME.safetensors  vectors of all users: initial, trained, published
    RUN/seed-K/encoding-NAME/    shards of an encoding that has not ended
    RUN/tensorboard/seed-K/      curves

Files are safetensors and JSON, never pickle, and appear whole or not at all.
"""

import json
import logging
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from foundation.format_version import RUN
from training.engine.files import read_json, write_json
from training.errors import ConfigInvalid, RunUnreadable
from training.mmga.config import RunConfig
from training.options.document import from_json, to_json

DROPPED = ".dropped"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The content of `run.json`; `status` is `training` until the run is published."""

    path: Path
    config: RunConfig
    seeds: tuple[int, ...]
    workers: int
    graph_id: str
    version: int
    snapshot: Path
    started_at: str
    code_version: str
    environment: Mapping[str, str]
    status: str = "training"
    generation: str | None = None

    @property
    def run_id(self) -> str:
        """Name of the run, that of its folder."""
        return self.path.name

    @property
    def tokenizer(self) -> Path:
        """The vocabulary of the run."""
        return self.path / "tokenizer.json"

    @property
    def post_inputs(self) -> Path:
        """The file that names the post inputs of the run."""
        return self.path / "post_inputs"

    def seed_folder(self, seed: int) -> Path:
        """The folder of one seed's training."""
        return self.path / f"seed-{seed}"

    def model(self, seed: int) -> Path:
        """The trained weights of one seed; there when its training has ended."""
        return self.seed_folder(seed) / "model.safetensors"

    def losses(self, seed: int) -> Path:
        """Every loss of every step of one seed, a JSON object a line."""
        return self.seed_folder(seed) / "losses.jsonl"

    def summary(self, seed: int) -> dict[str, Any]:
        """Held-out losses and times of one seed's training."""
        return read_json(self.seed_folder(seed) / "summary.json")


def begin(
    root: Path,
    config: RunConfig,
    *,
    seeds: Sequence[int],
    workers: int,
    graph_id: str,
    version: int,
    snapshot: Path,
    code_version: str,
    environment: Mapping[str, str],
) -> Run:
    """Start a run's folder."""
    now = datetime.now(UTC)
    run = Run(
        path=root / f"r{now:%Y%m%d%H%M%S}{secrets.token_hex(2)}",
        config=config,
        seeds=tuple(seeds),
        workers=workers,
        graph_id=graph_id,
        version=version,
        snapshot=snapshot,
        started_at=now.isoformat(timespec="seconds"),
        code_version=code_version,
        environment=dict(environment),
    )
    run.path.mkdir(parents=True)
    save(run)
    return run


def save(run: Run) -> None:
    """Write `run.json`."""
    values = asdict(replace(run, environment={}))
    values |= {
        "format_version": RUN.version,
        "config": json.loads(to_json(run.config)),
        "snapshot": str(run.snapshot),
        "environment": dict(run.environment),
    }
    del values["path"]
    write_json(run.path / "run.json", values)


def finish(run: Run, generation: str | None) -> Run:
    """Record that nothing is left to do."""
    finished = replace(run, status="finished", generation=generation)
    save(finished)
    return finished


def drop_old(root: Path, *, keep: int) -> None:
    """Drop all but the newest finished runs, and all but the newest that were interrupted.

    Runs interrupted before their first checkpoint are counted separately, so that they cannot
    displace one with a checkpoint. Published generations are kept. A folder is renamed before it is
    deleted, so that a kill cannot leave an incomplete run; the next call deletes the rest.
    """
    for left in root.glob(f"*{DROPPED}"):
        shutil.rmtree(left)
    alike: dict[tuple[str, bool], list[Path]] = {}
    for path, run in runs(root):
        alike.setdefault((run.status, has_steps(path)), []).append(path)
    for path in [old for newest_first in alike.values() for old in newest_first[keep:]]:
        shutil.rmtree(path.rename(path.with_name(f".{path.name}{DROPPED}")))


def has_steps(path: Path) -> bool:
    """Whether a run has a checkpoint or a model."""
    kinds = ("seed-*/checkpoints/*.json", "seed-*/model.safetensors")
    return any(any(path.glob(kind)) for kind in kinds)


def runs(root: Path) -> Iterator[tuple[Path, Run]]:
    """Folders and runs of this format, newest first."""
    for path in sorted(root.glob("r*/run.json"), reverse=True):
        try:
            yield path.parent, open_run(path.parent)
        except RunUnreadable as error:
            logger.warning("left out: %s", error)


def open_run(path: Path) -> Run:
    """The run in a folder. Raises RunUnreadable."""
    values = read_json(path / "run.json")
    if refusal := RUN.refusal(path, values.pop("format_version", 0)):
        raise RunUnreadable(refusal)
    try:
        config = from_json(RunConfig, json.dumps(values["config"]))
    except ConfigInvalid as error:
        raise RunUnreadable(f"{path}: {error}; delete it") from error
    values |= {
        "path": path,
        "config": config,
        "seeds": tuple(values["seeds"]),
        "snapshot": Path(values["snapshot"]),
    }
    return Run(**values)


def interrupted(
    root: Path, config: RunConfig, *, seeds: Sequence[int], graph_id: str
) -> Iterator[Run]:
    """Interrupted runs of the same request whose snapshot exists, newest first.

    A run is left out if a newer run of the same request and number of workers has finished.
    """
    wanted = (config, tuple(seeds), graph_id)
    finished: set[int] = set()
    for _, run in runs(root):
        if (run.config, run.seeds, run.graph_id) != wanted:
            continue
        if run.status == "finished":
            finished.add(run.workers)
        elif run.workers not in finished and run.snapshot.is_dir():
            yield run
