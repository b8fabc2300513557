"""Ray Train as this machine's or a cluster's trainer: start it quietly, fit one seed, translate.

Ray is imported late: its environment must be set first, and `mmga --help` must not pay for it.
"""

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from training.errors import RunFailed
from training.recipe import to_json
from training.run_files import Run, load_tensors, save_tensors, write_json
from training.trainer import part

MAX_FAILURES = 3
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Each report waits for a poll of the controller, every 2 s by default.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "RAY_TRAIN_ENABLE_STATE_TRACKING": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TOKENIZERS_PARALLELISM": "false",
    # Threads that wait must not spin: on cores that are shared they cost more than they gain.
    "OMP_WAIT_POLICY": "PASSIVE",
}


@contextmanager
def ray_session(num_workers: int) -> Iterator[None]:
    """A Ray instance of our own, or the cluster that RAY_ADDRESS names."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import ray

    own = "RAY_ADDRESS" not in os.environ
    size: dict[str, Any] = (
        {"num_cpus": max(num_workers, os.cpu_count() or 1), "include_dashboard": False}
        if own
        else {}
    )
    ray.init(log_to_driver=False, logging_level=logging.ERROR, **size)
    for name in ("ray", "ray.train", "ray.train.v2"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()


def fit_seed(run: Run, seed: int, post_inputs: Path, *, num_threads: int) -> None:
    """Train one seed to its end, from its last checkpoint where an earlier attempt left one.

    Leaves `model.safetensors` and `summary.json` and drops the checkpoints. A worker that dies is
    replaced and resumes, at most MAX_FAILURES times. Raises RunFailed.
    """
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    from training.worker import STATE, LossLog, train_seed

    folder = run.seed_folder(seed)
    trainer = TorchTrainer(
        train_seed,
        train_loop_config={
            "config": to_json(run.config),
            "snapshot": str(run.snapshot.resolve()),
            "post_inputs": str(post_inputs.resolve()),
            "seed": seed,
            "num_threads": max(1, num_threads // run.workers),
        },
        torch_config=TorchConfig(backend="gloo"),
        scaling_config=ScalingConfig(num_workers=run.workers, resources_per_worker={"CPU": 1}),
        run_config=RunConfig(
            name="ray",
            storage_path=str(folder.resolve()),
            failure_config=FailureConfig(max_failures=MAX_FAILURES),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
            callbacks=[LossLog(str(run.losses(seed).resolve()))],
        ),
    )
    try:
        result = trainer.fit()
    except Exception as error:
        raise RunFailed(
            f"training seed {seed} of run {run.run_id} failed: {cause(error)}; the run resumes "
            "from its last checkpoint when the same command is given again"
        ) from error
    with result.checkpoint.as_directory() as checkpoint:
        save_tensors(run.model(seed), part(load_tensors(Path(checkpoint) / STATE), "model"))
    write_json(folder / "summary.json", {"held_out": result.metrics["held_out"]})
    shutil.rmtree(folder / "ray")


def cause(error: BaseException) -> str:
    """The last line of what a worker said, which Ray wraps in its own errors and tracebacks."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
