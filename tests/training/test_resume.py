"""A run goes on from its last checkpoint, whoever was killed, and ends as if nothing had been."""

import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psutil
import pytest
import torch

from graphdb.snapshot import newest_snapshot
from tests.training.small_home import open_store, small_home
from tests.training.small_network import small_config, with_schedule
from training.config import RunConfig
from training.post_inputs import open_post_inputs
from training.progress import ConsoleReporter
from training.run import RunRequest, TrainedRun, train_run
from training.run_files import load_tensors, read_losses
from training.settings import TrainingSettings
from training.trainer import Trainer
from training.training_data import training_data

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

REPOSITORY = Path(__file__).parents[2]


def config() -> RunConfig:
    """Long enough to be killed in the middle, with a checkpoint every few steps."""
    small = small_config(edges="follows")
    text = dataclasses.replace(small.text, vocabulary_size=300)
    return with_schedule(
        dataclasses.replace(small, text=text),
        num_phase0_steps=20,
        num_rounds=2,
        num_encoder_steps=20,
        num_graph_steps=20,
        num_steps_per_checkpoint=5,
    )


def train(settings: TrainingSettings, *, workers: int = 1) -> TrainedRun:
    request = RunRequest(config=config(), seeds=(0,), workers=workers)
    with closing(open_store(settings.home)) as store, ConsoleReporter() as reporter:
        return train_run(settings, store, request, reporter)


def undisturbed(settings: TrainingSettings, trained: TrainedRun) -> dict[str, torch.Tensor]:
    """The same training without Ray, checkpoints or interruption."""
    snapshot = newest_snapshot(settings.snapshots, trained.run.graph_id)
    assert snapshot is not None
    data = training_data(snapshot, open_post_inputs(trained.inputs.path), "follows")
    torch.set_num_threads(1)
    trainer = Trainer(config(), data, seed=0)
    for number in range(trainer.num_steps):
        trainer.step(number)
    return dict(trainer.model.state_dict())


def check(settings: TrainingSettings, trained: TrainedRun) -> None:
    model = load_tensors(trained.run.model(0))
    expected = undisturbed(settings, trained)
    assert set(model) == set(expected)
    for name, tensor in expected.items():
        assert torch.equal(model[name], tensor), name
    steps = [line["step"] for line in read_losses(trained.run.losses(0))]
    assert steps == list(range(100))
    assert set(trained.run.summary(0)["held_out"]) == {"before", "after"}


def logged_steps(home: Path) -> int:
    logs = list(home.glob("checkpoints/*/seed-0/losses.jsonl"))
    return len(list(read_losses(logs[0]))) if logs else 0


def wait_for(condition: Callable[[], object], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def train_workers(root: psutil.Process) -> list[psutil.Process]:
    """Ray Train's worker processes below a process of ours."""
    found = []
    for process in root.children(recursive=True):
        try:
            if "RayTrainWorker" in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:  # it ended while we looked
            continue
    return found


def test_a_worker_that_is_killed_is_replaced_and_resumes(tmp_path: Path) -> None:
    settings = small_home(tmp_path)
    killed: list[int] = []

    def kill_once() -> None:
        wait_for(lambda: 20 <= logged_steps(settings.home) < 90)
        for process in train_workers(psutil.Process()):
            killed.append(process.pid)
            process.kill()

    killer = threading.Thread(target=kill_once)
    killer.start()
    trained = train(settings)
    killer.join()
    assert killed
    check(settings, trained)


def test_the_same_command_resumes_a_run_whose_driver_was_killed(tmp_path: Path) -> None:
    settings = small_home(tmp_path)
    program = (
        "from pathlib import Path\n"
        "from tests.training.test_resume import train\n"
        "from training.settings import TrainingSettings\n"
        f"train(TrainingSettings(home=Path({str(settings.home)!r}),"
        f" media_root=Path({str(settings.media_root)!r}), num_threads=1))\n"
    )
    driver = subprocess.Popen([sys.executable, "-c", program], cwd=REPOSITORY)
    descendants: list[psutil.Process] = []
    try:
        wait_for(lambda: 20 <= logged_steps(settings.home) < 90)
        descendants = psutil.Process(driver.pid).children(recursive=True)
    finally:
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
    # Ray's processes end with their driver; the next run must not depend on it.
    _, alive = psutil.wait_procs(descendants, timeout=30)
    for process in alive:
        process.kill()
    done = logged_steps(settings.home)
    assert done < 100
    trained = train(settings)
    assert len(list(settings.runs.iterdir())) == 1
    check(settings, trained)


def test_two_workers_share_the_steps_of_one_network(tmp_path: Path) -> None:
    settings = small_home(tmp_path)
    trained = train(settings, workers=2)
    lines = list(read_losses(trained.run.losses(0)))
    assert [line["step"] for line in lines] == list(range(100))
    structure = [line["graph_structure"] for line in lines if line["phase"] == "graph"]
    assert sum(structure[-10:]) < sum(structure[:10])
    # Gradients are averaged over both workers' batches, so the weights are not one worker's.
    alone = undisturbed(settings, trained)
    model = load_tensors(trained.run.model(0))
    assert any(not torch.equal(model[name], tensor) for name, tensor in alone.items())
