"""What each Ray Train worker does: train one seed, leave checkpoints, report, resume.

After each group of steps rank 0 first writes their losses to the log, then the checkpoint after
them, then all ranks report to Ray Train. A killed run goes on from the newest sound checkpoint,
so the log lacks no step, and a step that is done again replaces its line.

Checkpoints are files of the run, not Ray's: Ray keeps its list of checkpoints in a file that a
kill can leave torn, which would end the run for good.
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import ray.train
import ray.train.torch
import torch
from ray.train.collective import broadcast_from_rank_zero

from training.engine.checkpoints import newest_checkpoint, read_checkpoint, save_checkpoint
from training.engine.files import load_tensors
from training.engine.seed_files import SeedFiles
from training.engine.step_log import StepRecord, append_losses, check_finite, losses_of
from training.errors import RunFailed
from training.mmga.phases import stage_of
from training.mmga.trainer import Trainer, is_due


def train(trainer: Trainer, files: SeedFiles, attempt: str) -> None:
    """Do the steps from the newest checkpoint on; log, keep and report each group of them."""
    first, told = resume(trainer, files)
    held_out: dict[str, Any] = told.setdefault("held_out", {})
    if first == 0:
        held_out["before"] = trainer.held_out_losses()
    for group in groups(trainer, first):
        last = group[-1][0]
        stage = stage_of(trainer.config.schedule, last.number)
        last_of_phase0 = stage.phase == "phase0" and last.number == stage.last
        if last_of_phase0:
            held_out["after"] = trainer.held_out_losses()
        lines = [line(record, seconds) for record, seconds in group]
        if lines[0]["step"] == 0:
            lines[0]["held_out"] = held_out["before"]
        if last_of_phase0:
            lines[-1]["held_out"] = held_out["after"]
        if last.number == stage.last:
            findings = told.setdefault("findings", {})
            findings[last.phase] = [str(finding) for finding in last.findings]
        told |= versions_seen(trainer, told)
        if trainer.rank == 0:
            keep(trainer, files, attempt, lines, told)
        ray.train.report(means(lines) | {"next_step": last.number + 1} | told)


def groups(trainer: Trainer, first: int) -> Iterator[list[tuple[StepRecord, float]]]:
    """Do the steps from `first` on; yield records and seconds wherever a checkpoint is due.

    A GPU computes steps later than they are given to it: there each has the means of its group.
    """
    group: list[tuple[StepRecord, float]] = []
    began = started = time.perf_counter()
    for record in trainer.steps(first):
        group.append((record, time.perf_counter() - started))
        if is_due(trainer.config.schedule, record.number):
            if trainer.device.type == "cuda":
                torch.cuda.synchronize(trainer.device)
                mean = (time.perf_counter() - began) / len(group)
                waited = sum(each.waited_seconds for each, _ in group) / len(group)
                group = [(replace(each, waited_seconds=waited), mean) for each, _ in group]
            yield group
            group, began = [], time.perf_counter()
        started = time.perf_counter()


def resume(trainer: Trainer, files: SeedFiles) -> tuple[int, dict[str, Any]]:
    """Load the newest sound checkpoint: (next step, what was told); (0, nothing) without one.

    Rank 0 says which one it is, so that all ranks take the same.
    """
    newest = newest_checkpoint(files.checkpoints) if trainer.rank == 0 else None
    step: int | None = broadcast_from_rank_zero(None if newest is None else newest.next_step)
    if step is None:
        return 0, {}
    found = read_checkpoint(files.checkpoints, step)
    trainer.load(load_tensors(found.state))
    return step, dict(found.told)


def versions_seen(trainer: Trainer, told: dict[str, Any]) -> dict[str, list[int]]:
    """The first and the last version of a live graph that any rank has read, in any attempt."""
    seen = trainer.data.source.versions
    ends = [-math.inf, -math.inf] if seen is None else [-float(seen.first), float(seen.last)]
    if "graph_versions" in told:
        first, last = told["graph_versions"]
        ends = [max(ends[0], -first), max(ends[1], last)]
    found = torch.tensor(ends, dtype=torch.float64, device=trainer.device)
    if trainer.num_ranks > 1:
        torch.distributed.all_reduce(found, torch.distributed.ReduceOp.MAX)
    first, last = found.tolist()
    return {} if math.isinf(last) else {"graph_versions": [int(-first), int(last)]}


def keep(
    trainer: Trainer,
    files: SeedFiles,
    attempt: str,
    lines: Sequence[dict[str, Any]],
    told: dict[str, Any],
) -> None:
    """Put a group of steps and the state after them on the disk.

    Raises RunFailed where a later attempt has taken over: Ray's workers outlive a killed driver
    by seconds.
    """
    if files.attempt != attempt:
        raise RunFailed(f"{files.folder}: another attempt has taken over this seed")
    append_losses(files.losses, lines)
    save_checkpoint(files.checkpoints, lines[-1]["step"] + 1, trainer.state(), told)


def line(record: StepRecord, seconds: float) -> dict[str, Any]:
    """One step as it is logged. Raises NotFinite."""
    values = {name: float(loss) for name, loss in record.losses.items()}
    check_finite(values, record.number)
    norms = {name: float(norm) for name, norm in record.gradient_norms.items()}
    told = values | {
        "step": record.number,
        "phase": record.phase,
        "gradient_norms": norms,
        "learning_rates": dict(record.learning_rates),
        "seconds": seconds,
        "waited_seconds": record.waited_seconds,
    }
    if record.staleness is not None and bool(record.staleness.isfinite()):
        told["staleness"] = float(record.staleness)
    return told


def means(lines: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The mean of each loss over the steps that have it."""
    values: dict[str, list[float]] = {}
    for each in lines:
        for name, value in losses_of(each).items():
            values.setdefault(name, []).append(value)
    return {name: sum(each) / len(each) for name, each in values.items()}
