"""The training loop of a Ray Train worker, for any method: steps, checkpoints, reports, resume.

After each group of steps rank 0 writes the losses to the log, then the checkpoint; then all ranks
report to Ray Train. A killed run resumes from the newest sound checkpoint, so the log has no gap,
and a repeated step replaces its line.

Checkpoints are files of the run, not Ray's: Ray keeps its list of checkpoints in a file that a
kill can leave incomplete, after which the run could not resume.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import ray.train
import ray.train.torch
import torch
from ray.train.collective import broadcast_from_rank_zero
from torch import Tensor

from training.engine.checkpoints import newest_checkpoint, read_checkpoint, save_checkpoint
from training.engine.files import load_tensors
from training.engine.seed_files import SeedFiles
from training.engine.step_log import StepRecord, append_losses, check_finite, losses_of
from training.errors import RunFailed

Metadata = dict[str, Any]
"""Metadata of a checkpoint: held-out losses, findings, graph versions."""


class Trainer(Protocol):
    """The interface of a method, on one worker.

    A step is a function of `state` and of its number only, so that a resumed run gives the result
    of an uninterrupted one.
    """

    def steps(self, first: int) -> Iterator[StepRecord]:
        """Do the steps from `first` to the last; the last one has `is_checkpoint_due`."""

    def state(self) -> dict[str, Tensor]:
        """Everything that a later step depends on, on the CPU."""

    def load(self, state: dict[str, Tensor]) -> None:
        """Load a state that `state` returned."""

    def held_out_losses(self) -> dict[str, float]:
        """Losses on held-out data, by name; empty if nothing is held out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rank:
    """The rank of this worker, the number of ranks, and the device."""

    number: int
    num_ranks: int
    device: torch.device


OpenTrainer = Callable[[Mapping[str, Any], Rank], AbstractContextManager[Trainer]]
"""Opens the trainer of a method at initial weights, from the arguments of `fit`."""


def run_worker(arguments: Mapping[str, Any], open_trainer: OpenTrainer) -> None:
    """Train one seed from the beginning or from its newest checkpoint.

    `arguments` are plain values, since they cross processes: folder, attempt and num_threads are
    the engine's, the others the method's.
    """
    torch.set_num_threads(arguments["num_threads"])
    files, attempt = SeedFiles(Path(arguments["folder"])), arguments["attempt"]
    context = ray.train.get_context()
    rank = Rank(
        number=context.get_world_rank(),
        num_ranks=context.get_world_size(),
        device=ray.train.torch.get_device(),
    )
    with open_trainer(arguments, rank) as trainer:
        train(trainer, rank, files, attempt)


def train(trainer: Trainer, rank: Rank, files: SeedFiles, attempt: str) -> None:
    """Do the steps after the newest checkpoint; log, save and report each group."""
    first, metadata = resume(trainer, rank, files)
    held_out: dict[str, Any] = metadata.setdefault("held_out", {})
    if first == 0:
        held_out["before"] = trainer.held_out_losses()
    for group in groups(trainer, first, rank.device):
        last, _ = group[-1]
        lines = [line(record, seconds) for record, seconds in group]
        if lines[0]["step"] == 0:
            lines[0]["held_out"] = held_out["before"]
        if last.is_held_out_due:
            lines[-1]["held_out"] = held_out["after"] = trainer.held_out_losses()
        if last.findings is not None:
            metadata.setdefault("findings", {})[last.phase] = list(last.findings)
        metadata |= versions_seen(last, rank, metadata)
        if rank.number == 0:
            keep(trainer, files, attempt, lines, metadata)
        ray.train.report(means(lines) | {"next_step": last.number + 1} | metadata)


def groups(
    trainer: Trainer, first: int, device: torch.device
) -> Iterator[list[tuple[StepRecord, float]]]:
    """Do the steps from `first` on; yield records and seconds at every checkpoint.

    A GPU computes asynchronously, so there each step has the mean times of its group.
    """
    group: list[tuple[StepRecord, float]] = []
    began = started = time.perf_counter()
    for record in trainer.steps(first):
        group.append((record, time.perf_counter() - started))
        if record.is_checkpoint_due:
            if device.type == "cuda":
                torch.cuda.synchronize(device)
                mean = (time.perf_counter() - began) / len(group)
                waited = sum(each.waited_seconds for each, _ in group) / len(group)
                group = [(replace(each, waited_seconds=waited), mean) for each, _ in group]
            yield group
            group, began = [], time.perf_counter()
        started = time.perf_counter()


def resume(trainer: Trainer, rank: Rank, files: SeedFiles) -> tuple[int, Metadata]:
    """Load the newest sound checkpoint: (next step, its metadata); (0, nothing) without one.

    Rank 0 chooses the checkpoint, so that all ranks load the same.
    """
    newest = newest_checkpoint(files.checkpoints) if rank.number == 0 else None
    step: int | None = broadcast_from_rank_zero(None if newest is None else newest.next_step)
    if step is None:
        return 0, {}
    found = read_checkpoint(files.checkpoints, step)
    trainer.load(load_tensors(found.state))
    return step, dict(found.metadata)


def versions_seen(record: StepRecord, rank: Rank, metadata: Metadata) -> dict[str, list[int]]:
    """The first and the last version of a live graph that any rank has read, in any attempt."""
    ends = [-math.inf, -math.inf]
    for seen in (record.graph_versions, metadata.get("graph_versions")):
        if seen is not None:
            ends = [max(ends[0], -float(seen[0])), max(ends[1], float(seen[1]))]
    found = torch.tensor(ends, dtype=torch.float64, device=rank.device)
    if rank.num_ranks > 1:
        torch.distributed.all_reduce(found, torch.distributed.ReduceOp.MAX)
    first, last = found.tolist()
    return {} if math.isinf(last) else {"graph_versions": [int(-first), int(last)]}


def keep(
    trainer: Trainer,
    files: SeedFiles,
    attempt: str,
    lines: Sequence[dict[str, Any]],
    metadata: Metadata,
) -> None:
    """Write a group of steps to the log, then the checkpoint after them.

    Raises RunFailed if a later attempt has taken over: Ray's workers outlive a killed driver by
    seconds.
    """
    if files.attempt != attempt:
        raise RunFailed(f"{files.folder}: another attempt has taken over this seed")
    append_losses(files.losses, lines)
    save_checkpoint(files.checkpoints, lines[-1]["step"] + 1, trainer.state(), metadata)


def line(record: StepRecord, seconds: float) -> dict[str, Any]:
    """The log line of one step. Raises NotFinite."""
    values = {name: float(loss) for name, loss in record.losses.items()}
    check_finite(values, record.number)
    norms = {name: float(norm) for name, norm in record.gradient_norms.items()}
    logged = values | {
        "step": record.number,
        "phase": record.phase,
        "gradient_norms": norms,
        "learning_rates": dict(record.learning_rates),
        "seconds": seconds,
        "waited_seconds": record.waited_seconds,
    }
    if record.staleness is not None and bool(record.staleness.isfinite()):
        logged["staleness"] = float(record.staleness)
    return logged


def means(lines: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The mean of each loss over the steps that have it."""
    values: dict[str, list[float]] = {}
    for each in lines:
        for name, value in losses_of(each).items():
            values.setdefault(name, []).append(value)
    return {name: sum(each) / len(each) for name, each in values.items()}
