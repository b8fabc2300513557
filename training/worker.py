"""What each Ray Train worker does: train one seed, report losses with checkpoints, resume.

The losses of a group of steps travel with the checkpoint after its last step, so the log never
tells of a step that a resumed run does again.
"""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray.train
import torch
from torch import Tensor

from graphdb.snapshot import open_snapshot
from training.config import from_json
from training.post_inputs import open_post_inputs
from training.run_files import append_losses, load_tensors, save_tensors
from training.schedule import stage_of
from training.trainer import Trainer, check_finite
from training.training_data import training_data

STATE = "state.safetensors"
PROGRESS = "progress.json"


def train_seed(arguments: dict[str, Any]) -> None:
    """Train one seed of a run from the beginning or from its last reported checkpoint.

    `arguments` (plain values, for they cross processes): config, snapshot, post_inputs, seed,
    num_threads.
    """
    torch.set_num_threads(arguments["num_threads"])
    context = ray.train.get_context()
    trainer = open_trainer(arguments, context.get_world_rank(), context.get_world_size())
    first, held_out = resume(trainer)
    schedule = trainer.config.schedule
    records: list[tuple[int, str, dict[str, Tensor]]] = []
    for number in range(first, trainer.num_steps):
        if number == 0:
            held_out["before"] = trainer.held_out_losses()
        stage = stage_of(schedule, number)
        records.append((number, stage.phase, trainer.step(number)))
        last = number == stage.first + stage.num_steps - 1
        if last and stage.phase == "phase0":
            held_out["after"] = trainer.held_out_losses()
        if last or (number + 1) % schedule.num_steps_per_checkpoint == 0:
            report(trainer, number + 1, held_out, records)
            records = []


def open_trainer(arguments: dict[str, Any], rank: int, num_ranks: int) -> Trainer:
    """The trainer of this worker, at its initial weights."""
    config = from_json(arguments["config"])
    snapshot = open_snapshot(Path(arguments["snapshot"]), verify=False)
    inputs = open_post_inputs(Path(arguments["post_inputs"]))
    data = training_data(snapshot, inputs, config.graph.edges)
    return Trainer(config, data, seed=arguments["seed"], rank=rank, num_ranks=num_ranks)


def resume(trainer: Trainer) -> tuple[int, dict[str, Any]]:
    """Load the last reported checkpoint: (next step, held-out losses); (0, none) without one."""
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        return 0, {}
    with checkpoint.as_directory() as folder:
        progress = json.loads((Path(folder) / PROGRESS).read_text())
        trainer.load(load_tensors(Path(folder) / STATE))
    return progress["next_step"], progress["held_out"]


def report(
    trainer: Trainer,
    next_step: int,
    held_out: dict[str, Any],
    records: list[tuple[int, str, dict[str, Tensor]]],
) -> None:
    """Hand losses and, from rank 0, the state after them to Ray Train. Raises NotFinite."""
    lines = [line(*record) for record in records]
    metrics = {"next_step": next_step, "held_out": held_out, "losses": lines}
    with checkpoint_of(trainer, next_step, held_out) as checkpoint:
        ray.train.report(metrics, checkpoint=checkpoint)


def line(number: int, phase: str, losses: dict[str, Tensor]) -> dict[str, Any]:
    """One step as it is logged. Raises NotFinite."""
    values = {name: float(loss) for name, loss in losses.items()}
    check_finite(values, number)
    return {"step": number, "phase": phase} | values


@contextmanager
def checkpoint_of(
    trainer: Trainer, next_step: int, held_out: dict[str, Any]
) -> Iterator[ray.train.Checkpoint | None]:
    """The state as a folder of safetensors and JSON; None on ranks other than 0."""
    if trainer.rank:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        save_tensors(Path(folder) / STATE, trainer.state())
        progress = {"next_step": next_step, "held_out": held_out}
        (Path(folder) / PROGRESS).write_text(json.dumps(progress))
        yield ray.train.Checkpoint.from_directory(folder)


class LossLog(ray.train.UserCallback):
    """Writes the losses of each report to the run's log, in the controller's process."""

    def __init__(self, path: str) -> None:
        self.path = path

    def after_report(
        self,
        run_context: Any,
        metrics: list[dict[str, Any]],
        checkpoint: ray.train.Checkpoint | None,
    ) -> None:
        """Losses of rank 0, the others' differ only by their share of the batch."""
        append_losses(Path(self.path), metrics[0]["losses"])
