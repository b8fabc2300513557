"""A training that is killed again and again against the same training left alone.

Input: a generated network; `mmga train` with the recipe `tiny`, one seed, a checkpoint every ten of
160 steps. Three times, all processes of the run, Ray's with them, get SIGKILL at a random moment
between two checkpoints, once in each third of the steps; the same command is given again. The
weights in `model.safetensors` are to be those of the run that was left alone, byte for byte, with
one worker and with two. What a kill costs is the time of all attempts together less that of the run
left alone: the steps that are done again, and mostly that a process and its Ray begin again.
"""

import os
import random
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil

from benchmarks.measure import Row
from benchmarks.runs.prepared import REPOSITORY, ingest
from ingest.synthetic import write_synthetic_network
from training.engine.checkpoints import numbers
from training.engine.seed_files import SeedFiles

NUM_USERS = 300
NUM_KILLS = 3
EVERY = 10
SCHEDULE = {
    "num_phase0_steps": 20,
    "num_rounds": 2,
    "num_encoder_steps": 30,
    "num_graph_steps": 40,
    "num_steps_per_checkpoint": EVERY,
}
NUM_STEPS = 160
SECONDS_TO_KILL_IN = 0.5
"""Less than most groups of steps between two checkpoints take."""

QUICK = {"recipe": "smoke", "num_users": 60, "num_kills": 1, "all_workers": (1,)}
POLL_SECONDS = 0.02


def run(
    *,
    recipe: str = "tiny",
    num_users: int = NUM_USERS,
    num_kills: int = NUM_KILLS,
    all_workers: tuple[int, ...] = (1, 2),
) -> list[Row]:
    """Bytes that differ, and seconds a kill costs, by number of workers."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        network = write_synthetic_network(Path(folder) / "network", num_users=num_users)
        ingest(home, network.events)
        for workers in all_workers:
            rows += rows_of(home, recipe, workers, num_kills)
    return rows


def rows_of(home: Path, recipe: str, workers: int, num_kills: int) -> list[Row]:
    """A run left alone, then one that is killed."""
    started = time.perf_counter()
    wait(begin(home, recipe, workers, "--new"))
    alone, expected = time.perf_counter() - started, model(home)
    started = time.perf_counter()
    moments = random.Random(workers)
    for number in range(num_kills):
        process = begin(home, recipe, workers, *([] if number else ["--new"]))
        step = (number + moments.random()) * NUM_STEPS / num_kills
        wait_for_checkpoint(home, step, process)
        time.sleep(moments.random() * SECONDS_TO_KILL_IN)
        kill(process)
    wait(begin(home, recipe, workers))
    killed, found = time.perf_counter() - started, model(home)
    where = f"resume: {workers} worker" + "s" * (workers > 1)
    return [
        Row(
            name=f"{where}, SIGKILLs: {num_kills}, bytes of the weights that differ",
            unit="bytes",
            ours=num_different(found, expected),
            better="lower",
            bar=0,
        ),
        Row(
            name=f"{where}, a kill and going on",
            unit="s",
            ours=(killed - alone) / num_kills,
            rounds=num_kills,
            better="lower",
        ),
    ]


def begin(home: Path, recipe: str, workers: int, *arguments: str) -> "subprocess.Popen[bytes]":
    """The command."""
    settings = [f"--set=phases.{name}={value}" for name, value in SCHEDULE.items()]
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "mmga", "train", "--recipe", recipe, "--seeds", "1"),
            *("--no-publish", "--workers", str(workers), *settings, *arguments),
        ],
        env=os.environ | {"MMGA_HOME": str(home), "MMGA_THREADS": str(workers)},
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def wait(process: "subprocess.Popen[bytes]") -> None:
    """Until the command has ended. Raises RuntimeError where it failed."""
    if process.wait():
        raise RuntimeError(f"mmga train ended with {process.returncode}")


def wait_for_checkpoint(home: Path, step: float, process: "subprocess.Popen[bytes]") -> None:
    """Until this process has written a checkpoint, and one of this step or later is there.

    Raises RuntimeError where the command ends before.
    """
    before = checkpoint(home)
    while (now := checkpoint(home)) is None or now == before or now < step - EVERY:
        if process.poll() is not None:
            raise RuntimeError(f"mmga train ended before step {step:.0f}")
        time.sleep(POLL_SECONDS)
    print(f"  SIGKILL after checkpoint {now}", file=sys.stderr)


def checkpoint(home: Path) -> int | None:
    """The step of the newest run's newest checkpoint."""
    runs = sorted(home.glob("checkpoints/r*"))
    steps = numbers(SeedFiles(runs[-1] / "seed-0").checkpoints) if runs else []
    return max(steps, default=None)


def kill(process: "subprocess.Popen[bytes]") -> None:
    """SIGKILL to the command and all that it has started."""
    doomed = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    for each in doomed:
        with suppress(psutil.NoSuchProcess):  # Ray's workers end with their raylet
            each.kill()
    process.wait()


def model(home: Path) -> bytes:
    """The weights that the newest run has left."""
    return (sorted(home.glob("checkpoints/r*"))[-1] / "seed-0" / "model.safetensors").read_bytes()


def num_different(found: bytes, expected: bytes) -> int:
    """Bytes that are not the same, and those that one has more."""
    same = sum(one == other for one, other in zip(found, expected, strict=False))
    return max(len(found), len(expected)) - same
