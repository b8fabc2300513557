"""Training that is killed at steps that a file in the home names.

    HOME/deaths.json    [{"step": 33, "victim": "worker" | "driver" | "machine", "rank": 0}, …]

A death is struck off the list before it happens. The victim is killed with SIGKILL by the worker
of that rank when it has done the step, while batches of later steps are being drawn.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from foundation.durable_files import write_text
from training.engine.step_log import StepRecord
from training.mmga import worker
from training.mmga.trainer import Trainer

work = worker.work


def plan(home: Path, deaths: list[dict[str, Any]]) -> None:
    write_text(home / "deaths.json", json.dumps(deaths))


def train_and_die(arguments: dict[str, Any]) -> None:
    """What a Ray worker runs in place of `work`, whose arguments it takes."""
    home = Path(arguments["folder"]).parents[2]
    steps = Trainer.steps

    def deadly(trainer: Trainer, first: int) -> Iterator[StepRecord]:
        deaths = json.loads((home / "deaths.json").read_text())
        for record in steps(trainer, first):
            if deaths and deaths[0]["step"] == record.number and deaths[0]["rank"] == trainer.rank:
                plan(home, deaths[1:])
                kill(deaths[0]["victim"], int((home / "driver.pid").read_text()))
            yield record

    Trainer.steps = deadly
    work(arguments)


def kill(victim: str, driver: int) -> None:
    """End this worker, the driver, or all processes of the run, this one last; never return."""
    if victim == "machine":
        everything = [psutil.Process(driver), *psutil.Process(driver).children(recursive=True)]
        for process in everything:
            if process.pid != os.getpid():
                process.kill()
    if victim == "driver":
        os.kill(driver, signal.SIGKILL)
        time.sleep(600)  # until Ray ends this process: what it would still do is not the point
    os.kill(os.getpid(), signal.SIGKILL)


def main(home: Path, workers: int) -> None:
    """A driver that can die: the arguments of the command line are HOME and WORKERS."""
    from tests.training.runs.test_resume import train
    from training.settings import TrainingSettings

    write_text(home / "driver.pid", str(os.getpid()))
    worker.work = train_and_die
    settings = TrainingSettings(home=home, media_root=home.parent / "media", num_threads=1)
    train(settings, workers=workers)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
