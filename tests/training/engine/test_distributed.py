"""Workers that average gradients hold equal states, so the checkpoint of one is that of all."""

import os
import socket
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from tests.training.small_network import small_config, small_data, with_objectives, with_phases
from training.mmga.config import RunConfig
from training.mmga.trainer import Trainer

pytestmark = pytest.mark.slow

NUM_RANKS = 2
STOP = 8


def config() -> RunConfig:
    """What reads the bank at every step, and of every kind of state some."""
    joint = with_phases(small_config(), order="joint", num_microbatches=2, num_bank_negatives=16)
    return with_objectives(joint, weighting="uncertainty", weight_alignment=0.0)


def work(rank: int, folder: str, port: int) -> None:
    """Train whole, then again with a stop after which both ranks load the state of rank 0."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=NUM_RANKS)

    def trainer() -> Trainer:
        return Trainer(config(), small_data(config()), seed=0, rank=rank, num_ranks=NUM_RANKS)

    whole = trainer()
    for record in whole.steps(0):
        if record.number == STOP - 1 and rank == 0:
            torch.save(whole.state(), f"{folder}/stopped")
    torch.save(whole.state(), f"{folder}/whole-{rank}")
    dist.barrier()
    resumed = trainer()
    resumed.load(torch.load(f"{folder}/stopped"))
    for _ in resumed.steps(STOP):
        pass
    torch.save(resumed.state(), f"{folder}/resumed-{rank}")
    torch.save(resumed.draw(STOP)[0].users.users, f"{folder}/seeds-{rank}")
    dist.destroy_process_group()


def test_all_ranks_end_alike_and_resume_from_the_state_of_one(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(work, (str(tmp_path), port), nprocs=NUM_RANKS)
    expected = torch.load(tmp_path / "whole-0")
    for name in ("whole-1", "resumed-0", "resumed-1"):
        found = torch.load(tmp_path / name)
        assert set(found) == set(expected)
        for key, tensor in expected.items():
            assert torch.equal(found[key], tensor), (name, key)
    seeds = [torch.load(tmp_path / f"seeds-{rank}") for rank in range(NUM_RANKS)]
    assert not torch.equal(*seeds)
