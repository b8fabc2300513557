"""Ray Train on this machine or on a cluster: start Ray, train one seed, translate its errors.

Ray is imported late: its environment must be set first, and `mmga --help` must stay fast.
"""

import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundation.stop import StopRequest
from training.engine.cpus import usable_cpus
from training.engine.local_ray import (
    check_local_ray,
    give_token,
    on_loopback,
    temporary_folder,
    without_signal_handler,
)
from training.engine.seed_files import SeedFiles
from training.errors import LASTING, ClusterTooSmall, ClusterUnreachable, RayUnusable, RunFailed

if TYPE_CHECKING:
    from ray.train.torch import TorchTrainer

MAX_FAILURES = 3
MAX_FAILED_STARTS = 10
"""Failed starts of the workers, each after a minute without enough free resources."""

SETTLING_SECONDS = 3.0
CONNECT_SECONDS = 5.0
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


class Secret(str):
    """A string that is not shown when arguments are printed."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'…'"


@contextmanager
def ray_session(num_workers: int, stop: StopRequest | None = None) -> Iterator[None]:
    """A Ray instance of our own, or the cluster that RAY_ADDRESS names. Raises ClusterUnreachable.

    Without RAY_ADDRESS, a cluster that already runs on this machine is not used. A nested session
    is the same session. Raises KeyboardInterrupt for a signal that came while Ray started: cut off,
    it would leave processes behind.
    """
    stop = StopRequest() if stop is None else stop
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    address = os.environ.get("RAY_ADDRESS")
    with nullcontext() if address else on_loopback():
        import ray

        if ray.is_initialized():
            yield
            return
        start(address, num_workers)
        try:
            stop.check()
            yield
        finally:
            ray.shutdown()


def start(address: str | None, num_workers: int) -> None:
    """Start Ray here, or connect to a cluster. Raises ClusterUnreachable, RayUnusable."""
    import ray

    if address:
        options: dict[str, Any] = {
            "address": address,
            # Its processes were started with an environment of their own.
            "runtime_env": {"env_vars": {name: os.environ[name] for name in ENVIRONMENT}},
        }
    else:
        give_token(os.environ)
        options = {
            "address": "local",
            "num_cpus": max(num_workers, usable_cpus()),
            "include_dashboard": False,
            "_temp_dir": str(temporary_folder(os.environ)),
        }
        # A process for each start of workers, to hear of machines that a cloud takes back.
        os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
    try:
        if address:
            check_port(address)
        with without_signal_handler():
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
    except Exception as error:  # Ray raises many kinds, Exception itself among them
        if not address:
            raise RayUnusable(
                f"Ray does not start on this machine ({cause(error)}): give it a writable "
                "RAY_TMPDIR with free space, or name a cluster with RAY_ADDRESS"
            ) from error
        raise unreachable(address, error) from error
    for name in ("ray", "ray.train", "ray.train.v2"):
        logging.getLogger(name).setLevel(logging.ERROR)


def check_ray(num_workers: int) -> None:
    """Check that a session of this many workers can start, without starting Ray on this machine.

    Raises ClusterUnreachable, ClusterTooSmall, RayUnusable.
    """
    address = os.environ.get("RAY_ADDRESS")
    if not address:
        check_local_ray(num_workers, os.environ)
        return
    with ray_session(num_workers):
        import ray

        worker_resources(ray.cluster_resources(), num_workers)


def unreachable(address: str, error: Exception) -> ClusterUnreachable:
    """The error of a cluster that does not take us."""
    return ClusterUnreachable(
        f"no Ray cluster takes us at RAY_ADDRESS={address} ({cause(error)}): start one with "
        "`ray start --head`, give its token in RAY_AUTH_TOKEN with RAY_AUTH_MODE=token, or "
        "unset RAY_ADDRESS to train on this machine alone"
    )


def check_port(address: str) -> None:
    """Raise OSError at once if nothing listens; Ray itself would retry for a minute."""
    host, _, port = address.rpartition(":")
    if port.isdecimal() and "://" not in host:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()


def fit(
    worker: Callable[[dict[str, Any]], None],
    arguments: Mapping[str, Any],
    files: SeedFiles,
    *,
    name: str,
    num_workers: int,
    num_threads: int,
    say: Callable[[str], None],
    stop: StopRequest,
) -> None:
    """Train one seed to its last checkpoint, from the newest existing one.

    `worker` hands its arguments to `engine.worker.run_worker`; they are plain values, the paths
    among them absolute. A worker that dies is replaced and resumes, at most MAX_FAILURES times;
    while others use the cluster, workers wait for MAX_FAILED_STARTS starts. `name` names the seed
    in messages. Raises RunFailed, ClusterTooSmall; KeyboardInterrupt as soon as a signal comes.
    """
    import ray

    resources = worker_resources(ray.cluster_resources(), num_workers)
    lacking = settled(lambda: not_free(ray.available_resources(), resources, num_workers))
    if lacking:
        say(f"{name}: waiting for {lacking}, which others use, up to {MAX_FAILED_STARTS} min")
    attempt = files.take_over()
    own = {
        "folder": str(files.folder),
        "attempt": attempt,
        "num_threads": max(1, num_threads // num_workers),
    }
    trainer = trainer_of(
        worker,
        {**arguments, **own},
        folder=files.folder / "ray",
        attempt=attempt,
        num_workers=num_workers,
        resources=resources,
    )
    try:
        with stop.at_once():
            trainer.fit()
    except Exception as error:
        raise RunFailed(f"training {name} failed: {cause(error)}; {remedy(error)}") from error


def trainer_of(
    worker: Callable[[dict[str, Any]], None],
    arguments: dict[str, Any],
    *,
    folder: Path,
    attempt: str,
    num_workers: int,
    resources: dict[str, float],
) -> "TorchTrainer":
    """Ray's trainer of so many workers with these resources each; `folder` is for Ray's state."""
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    from training.engine.permanent_errors import EndAtPermanentError
    from training.engine.process_group import LocalTorchConfig

    class Trainer(TorchTrainer):
        def _register_sigint_handler(self, controller: Any) -> None:
            """Leave the signal to `stop`; Ray's handler would stay for the rest of the process."""

    backend = "nccl" if "GPU" in resources else "gloo"
    return Trainer(
        worker,
        train_loop_config=arguments,
        torch_config=(
            TorchConfig(backend=backend)
            if os.environ.get("RAY_ADDRESS")
            else LocalTorchConfig(backend=backend, folder=str(folder))
        ),
        scaling_config=ScalingConfig(
            num_workers=num_workers, use_gpu="GPU" in resources, resources_per_worker=resources
        ),
        run_config=RunConfig(
            name=attempt,
            storage_path=str(folder),
            failure_config=FailureConfig(
                max_failures=MAX_FAILURES, controller_failure_limit=MAX_FAILED_STARTS
            ),
            callbacks=[EndAtPermanentError()],
        ),
    )


def remedy(error: BaseException) -> str:
    """The remedy for failed workers: resume, unless Ray's controller ended at a permanent error."""
    if isinstance(getattr(error, "controller_failure", None), LASTING):
        return "resumed, it would fail again: remove the cause, or begin a new run with --new"
    return "the run resumes from its last checkpoint when the same command is given again"


def settled(lacking: Callable[[], str]) -> str:
    """Missing resources of the cluster, polled for a moment: ended tasks free theirs late."""
    until = time.monotonic() + SETTLING_SECONDS
    while (found := lacking()) and time.monotonic() < until:
        time.sleep(0.2)
    return found


def not_free(free: Mapping[str, float], worker: Mapping[str, float], num_workers: int) -> str:
    """Resources that the workers need and the cluster does not have free; empty if it has all."""
    return " and ".join(
        f"{num_workers * each:g} {kind}s ({free.get(kind, 0):g} free)"
        for kind, each in worker.items()
        if free.get(kind, 0) < num_workers * each
    )


def worker_resources(cluster: Mapping[str, float], num_workers: int) -> dict[str, float]:
    """Resources of each worker: a GPU if the cluster has any. Raises ClusterTooSmall."""
    kind = "GPU" if cluster.get("GPU", 0) else "CPU"
    if cluster.get(kind, 0) < num_workers:
        on_cpus = ", or hide its GPUs to train on CPUs" if kind == "GPU" else ""
        raise ClusterTooSmall(
            f"the Ray cluster has {kind}s: {cluster.get(kind, 0):g}, --workers asks for "
            f"{num_workers}; ask for fewer{on_cpus}"
        )
    return {"CPU": 1.0} | ({"GPU": 1.0} if kind == "GPU" else {})


def cause(error: BaseException) -> str:
    """The last line of a worker's error, which Ray wraps in its own errors and tracebacks."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
