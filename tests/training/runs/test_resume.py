"""A run goes on from its last checkpoint, whoever was killed, and ends as if nothing had been."""

import dataclasses
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import psutil
import pytest
import torch

from graphdb.snapshot.snapshot import newest_snapshot
from tests.training.dying import plan
from tests.training.event_files import drawn
from tests.training.small_home import open_store, small_home
from tests.training.small_network import small_config, with_phases
from training.engine.checkpoints import newest_checkpoint
from training.engine.files import save_tensors
from training.engine.progress import ConsoleReporter
from training.engine.ray_cluster import ray_session
from training.engine.seed_files import SeedFiles
from training.engine.step_log import read_losses
from training.inputs.post_inputs import open_post_inputs
from training.mmga.config import RunConfig
from training.mmga.trainer import Trainer
from training.mmga.training_data import training_data
from training.runs.run import RunRequest, TrainedRun, train_run
from training.runs.run_folder import finish
from training.settings import TrainingSettings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

REPOSITORY = Path(__file__).parents[3]
NUM_STEPS, EVERY = 100, 5


def config() -> RunConfig:
    """Long enough to be killed in the middle, with a checkpoint every few steps."""
    small = small_config(edges="follows")
    text = dataclasses.replace(small.text, vocabulary_size=300, dropout=0.1)
    compute = dataclasses.replace(small.compute, num_ahead=2)
    return with_phases(
        dataclasses.replace(small, text=text, compute=compute),
        num_phase0_steps=20,
        num_rounds=2,
        num_encoder_steps=20,
        num_graph_steps=20,
        num_steps_per_checkpoint=EVERY,
    )


def train(settings: TrainingSettings, *, workers: int = 1) -> TrainedRun:
    request = RunRequest(config=config(), seeds=(0,), workers=workers)
    with closing(open_store(settings.home)) as store, ConsoleReporter() as reporter:
        return train_run(settings, store, request, reporter)


def alone(settings: TrainingSettings, trained: TrainedRun) -> bytes:
    """The weights of the same training by one worker, without Ray, checkpoints or a death."""
    snapshot = newest_snapshot(settings.snapshots, trained.run.graph_id)
    assert snapshot is not None
    data = training_data(snapshot, open_post_inputs(trained.inputs.path), "follows")
    torch.set_num_threads(1)
    trainer = Trainer(config(), data, seed=0)
    for _ in trainer.steps(0):
        pass
    path = settings.home / "alone.safetensors"
    save_tensors(path, trainer.model.state_dict())
    return path.read_bytes()


def random_step(random: Random, first: int, last: int) -> int:
    """A step that is not the last before a checkpoint, so that work is lost with it."""
    return random.choice([step for step in range(first, last) if (step + 1) % EVERY])


def die(settings: TrainingSettings, workers: int) -> set[psutil.Process]:
    """Train in a process of its own until it dies; return what it has left behind."""
    command = [sys.executable, "-m", "tests.training.dying", str(settings.home), str(workers)]
    driver = subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True)
    left: set[psutil.Process] = set()
    deadline = time.monotonic() + 600
    while driver.poll() is None:
        assert time.monotonic() < deadline, "the driver did not die"
        left.update(children(driver.pid))
        time.sleep(0.1)
    _, errors = driver.communicate()
    assert driver.returncode == -9, errors
    return left


def children(pid: int) -> Iterator[psutil.Process]:
    try:
        yield from psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return


def check_lost(settings: TrainingSettings, step: int) -> None:
    """The death at a step cost the steps since the last checkpoint, and no others."""
    (folder,) = settings.home.glob("checkpoints/*/seed-0")
    files = SeedFiles(folder)
    newest = newest_checkpoint(files.checkpoints)
    assert newest is not None
    assert newest.next_step == step // EVERY * EVERY
    assert [line["step"] for line in read_losses(files.losses)] == list(range(newest.next_step))


def tear_newest(settings: TrainingSettings) -> None:
    """What a disk that lies may leave of a file after a loss of power."""
    (folder,) = settings.home.glob("checkpoints/*/seed-0/checkpoints")
    newest = newest_checkpoint(folder)
    assert newest is not None
    newest.state.write_bytes(newest.state.read_bytes()[:-1000])


@pytest.mark.parametrize("workers", [1, 2])
def test_deaths_of_worker_driver_and_machine_leave_no_trace(tmp_path: Path, workers: int) -> None:
    settings = small_home(tmp_path)
    random = Random(workers)
    first, second, third = (random_step(random, each, each + 20) for each in (10, 40, 70))
    rank = random.randrange(workers)
    print(f"deaths at steps {first}, {second}, {third} by rank {rank}")
    left = set()
    plan(
        settings.home,
        [
            {"step": first, "victim": "worker", "rank": rank},
            {"step": second, "victim": "driver", "rank": rank},
        ],
    )
    left |= die(settings, workers)
    check_lost(settings, second)
    tear_newest(settings)
    plan(settings.home, [{"step": third, "victim": "machine", "rank": rank}])
    left |= die(settings, workers)
    check_lost(settings, third)
    with ray_session(workers):
        trained = train(settings, workers=workers)
        check_whole(settings, trained)
        if workers == 1:
            assert trained.run.model(0).read_bytes() == alone(settings, trained)
        else:
            check_two(settings, trained)
    _, running = psutil.wait_procs(left, timeout=3)  # most have ended long ago
    for process in running:
        process.kill()


def check_whole(settings: TrainingSettings, trained: TrainedRun) -> None:
    """One run, in which no step is missing and none is there twice."""
    assert len(list(settings.runs.iterdir())) == 1
    steps = [line["step"] for line in read_losses(trained.run.losses(0))]
    assert steps == list(range(NUM_STEPS))
    curves = drawn(trained.run.path / "tensorboard" / "seed-0")
    assert [step for step, _ in curves["losses/total"]] == list(range(NUM_STEPS))
    assert set(trained.run.summary(0)["held_out"]) == {"before", "after"}


def check_two(settings: TrainingSettings, trained: TrainedRun) -> None:
    """The run of two workers is that of two that nobody killed, and not that of one."""
    finish(trained.run, None)
    again = train(settings, workers=2)
    assert again.run.run_id != trained.run.run_id
    model = trained.run.model(0).read_bytes()
    assert model == again.run.model(0).read_bytes()
    structure = [
        line["graph_structure"]
        for line in read_losses(again.run.losses(0))
        if line["phase"] == "graph"
    ]
    assert sum(structure[-10:]) < sum(structure[:10])
    assert model != alone(settings, trained)
