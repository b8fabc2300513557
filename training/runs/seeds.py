"""Training of a run's seeds, one after the other, each followed by progress and curves."""

import json
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.engine.checkpoints import drop_torn, entries_below, newest_checkpoint
from training.engine.files import load_tensors, save_tensors, write_json
from training.engine.progress import Reporter
from training.engine.ray_cluster import Secret, fit, ray_session
from training.engine.seed_files import SeedFiles
from training.engine.tracking.mlflow import MLflow, flattened
from training.engine.tracking.tensorboard import TensorBoard
from training.engine.tracking.tracker import Tracker, tracked
from training.errors import RunFailed
from training.mmga.phases import num_steps
from training.options.document import to_json
from training.runs.run_folder import Run
from training.settings import TrainingSettings


def train_seeds(
    settings: TrainingSettings, run: Run, post_inputs: Path, reporter: Reporter
) -> None:
    """Train the seeds that have no model yet. Raises RunFailed, ClusterTooSmall.

    Checkpoints of trained seeds are deleted, in case an earlier run was killed before doing so.
    """
    left = [seed for seed in run.seeds if not run.model(seed).exists()]
    for seed in {*run.seeds} - {*left}:
        drop_states(SeedFiles(run.seed_folder(seed)))
    if not left:
        return
    with ray_session(run.workers, reporter.stop):
        for seed in left:
            train_seed(settings, run, seed, post_inputs, reporter)


def train_seed(
    settings: TrainingSettings, run: Run, seed: int, post_inputs: Path, reporter: Reporter
) -> None:
    """Train one seed to its end, from its newest sound checkpoint where it has one.

    Leaves `model.safetensors` and `summary.json`, after the last curve is drawn, and drops the
    checkpoints.
    """
    started, total = time.monotonic(), num_steps(run.config.phases)
    files = SeedFiles(run.seed_folder(seed).resolve())
    for step in drop_torn(files.checkpoints):
        reporter.say(
            f"seed {seed}: the checkpoint before step {step} is damaged; an older one is taken"
        )
    with (
        reporter.following(f"seed {seed}", run.losses(seed), total),
        tracked(run.losses(seed), trackers(settings, run, seed), reporter.say),
    ):
        from training.mmga.worker import work  # imports Ray, whose environment the session sets

        fit(
            work,
            arguments(settings, run, seed, post_inputs),
            files,
            name=f"seed {seed} of run {run.run_id}",
            num_workers=run.workers,
            num_threads=settings.num_threads,
            say=reporter.say,
            stop=reporter.stop,
        )
    end_seed(run, seed, files)
    seconds = time.monotonic() - started
    reporter.say(f"seed {seed}: {total} steps in {seconds:.0f} s; {held_out(run, seed)}")
    for warning in collapses(run, seed):
        reporter.say(f"warning: seed {seed}, {warning}")


def arguments(settings: TrainingSettings, run: Run, seed: int, post_inputs: Path) -> dict[str, Any]:
    """Arguments of the seed's workers; with the database's URL only if they sample from it."""
    return {
        "config": to_json(run.config),
        "snapshot": str(run.snapshot.resolve()),
        "post_inputs": str(post_inputs.resolve()),
        "graph_url": Secret(settings.graph_url if run.config.sampler == "database" else ""),
        "seed": seed,
    }


def end_seed(run: Run, seed: int, files: SeedFiles) -> None:
    """Write the weights and held-out losses of the last checkpoint. Raises RunFailed."""
    last = newest_checkpoint(files.checkpoints)
    if last is None:
        raise RunFailed(
            f"training seed {seed} of run {run.run_id} left no sound checkpoint in "
            f"{files.checkpoints}; with workers on several machines that folder must be shared"
        )
    write_json(files.folder / "summary.json", last.metadata)
    save_tensors(run.model(seed), entries_below(load_tensors(last.state), "model"))
    drop_states(files)


def drop_states(files: SeedFiles) -> None:
    """Delete the files that are needed only to resume training."""
    for folder in (files.checkpoints, files.folder / "ray"):
        shutil.rmtree(folder, ignore_errors=True)


def trackers(settings: TrainingSettings, run: Run, seed: int) -> Sequence[Tracker]:
    """TensorBoard always; MLflow where its server is named."""
    found: list[Tracker] = [TensorBoard(run.path / "tensorboard" / f"seed-{seed}")]
    if settings.mlflow_uri:
        found.append(
            MLflow(
                settings.mlflow_uri,
                settings.mlflow_experiment,
                run_name=f"{run.run_id}/seed-{seed}",
                tags={
                    "mmga.run": run.run_id,
                    "mmga.seed": str(seed),
                    "mmga.graph": f"{run.graph_id}@{run.version}",
                    "mmga.code": run.code_version,
                    "mmga.model": str(run.model(seed).absolute()),
                },
                parameters=flattened(json.loads(to_json(run.config)))
                | {"seed": seed, "workers": run.workers, "host_cpus": os.cpu_count()},
            )
        )
    return found


def held_out(run: Run, seed: int) -> str:
    """The change of the losses on held-out posts over phase 0, as text."""
    losses = run.summary(seed)["held_out"]
    if "after" not in losses:
        return "no phase 0"
    parts = [
        f"{name.replace('_', ' ')} {losses['before'][name]:.3f} -> {value:.3f}"
        for name, value in losses["after"].items()
    ]
    return f"held-out posts over phase 0: {', '.join(parts)}"


def collapses(run: Run, seed: int) -> list[str]:
    """Findings of collapse at the end of the last stage of each phase, as text."""
    found = run.summary(seed).get("findings", {})
    return [f"end of {phase}: {finding}" for phase, each in found.items() for finding in each]
