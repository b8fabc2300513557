"""A method of a few lines, to show that the engine runs whatever has the methods of its protocol.

What a test wants to happen lies as files in the seed's folder: `kill-at-7` has the worker of rank 0
killed with SIGKILL after step 7, `fail-at-opening` raises the error that it names.
"""

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from training import errors
from training.engine.checkpoints import entries_below
from training.engine.distributed import data_parallel
from training.engine.optimiser import load_optimiser, optimiser, optimiser_state
from training.engine.step_log import StepRecord
from training.engine.worker import Rank, run_worker

NUM_STEPS = 12
NUM_STEPS_PER_CHECKPOINT = 4
WEIGHTS = torch.tensor([[1.0, -2.0, 3.0]])


def work(arguments: Mapping[str, Any]) -> None:
    run_worker(arguments, open_trainer)


@contextmanager
def open_trainer(arguments: Mapping[str, Any], rank: Rank) -> Iterator["LinearRegression"]:
    folder = Path(arguments["folder"])
    count(folder / "opened")
    if (wanted := folder / "fail-at-opening").exists():
        name = wanted.read_text()
        raise getattr(errors, name)(f"wanted {name}")
    try:
        yield LinearRegression(arguments["seed"], rank, folder)
    finally:
        count(folder / "closed")


def count(path: Path) -> None:
    with path.open("a") as file:
        file.write("x")


class LinearRegression:
    def __init__(self, seed: int, rank: Rank, folder: Path) -> None:
        self.seed, self.rank, self.folder = seed, rank, folder
        torch.manual_seed(seed)
        self.model = nn.Linear(3, 1)
        self.network = data_parallel(self.model, rank.num_ranks, rank.device)
        self.optimiser = optimiser(self.model.parameters(), 0.1, 0.0)

    def steps(self, first: int) -> Iterator[StepRecord]:
        for number in range(first, NUM_STEPS):
            self.optimiser.zero_grad()
            loss = self._loss(self.network, number)
            loss.backward()
            self.optimiser.step()
            yield StepRecord(
                number=number,
                phase="fit",
                losses={"total": loss.detach()},
                gradient_norms={},
                learning_rates={"linear": 0.1},
                is_checkpoint_due=(number + 1) % NUM_STEPS_PER_CHECKPOINT == 0,
                is_held_out_due=number + 1 == NUM_STEPS,
            )
            self._die_after(number)

    def state(self) -> dict[str, Tensor]:
        parts = {"model": self.model.state_dict(), "moments": optimiser_state(self.optimiser)}
        return {
            f"{part}.{name}": tensor.clone()
            for part, tensors in parts.items()
            for name, tensor in tensors.items()
        }

    def load(self, state: dict[str, Tensor]) -> None:
        self.model.load_state_dict(entries_below(state, "model"))
        load_optimiser(self.optimiser, entries_below(state, "moments"))

    def held_out_losses(self) -> dict[str, float]:
        return {"total": float(self._loss(self.model, -1).detach())}

    def _loss(self, network: nn.Module, number: int) -> Tensor:
        words = (self.seed * 1_000 + number) * 10 + self.rank.number + 10
        x = torch.randn(16, 3, generator=torch.Generator().manual_seed(words))
        return mse_loss(network(x), x @ WEIGHTS.T)

    def _die_after(self, number: int) -> None:
        wanted = self.folder / f"kill-at-{number}"
        if wanted.exists() and self.rank.number == 0:
            wanted.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
