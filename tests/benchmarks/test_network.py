"""Benchmarks of training on small inputs: that they run and tell what they promise."""

import json
import math
import subprocess
import sys
from collections.abc import Iterable
from importlib import import_module

import pytest
import torch

from benchmarks.__main__ import BENCHMARKS
from benchmarks.measure import Row
from benchmarks.runs.prepared import REPOSITORY
from tests.servers import ServerMissing


def quick_rows(name: str) -> dict[str, Row]:
    module = import_module(f"benchmarks.{BENCHMARKS[name]}")
    return {row.name: row for row in module.run(**module.QUICK)}


def ends_of(rows: Iterable[str]) -> set[str]:
    return {name.rsplit(", ", 1)[1] for name in rows}


@pytest.mark.slow
def test_training_tells_of_each_phase_what_it_costs_beside_its_encoders() -> None:
    rows = quick_rows("training")
    assert len(rows) == 8
    for phase in ("phase0", "encoders", "joint"):
        step = rows[f"training: smoke, {phase}, step"]
        assert step.ratio == pytest.approx(step.ours / step.rival)
    assert rows["training: smoke, graph, step"].rival is None
    shares = [row.ours for name, row in rows.items() if name.endswith("waiting for batches")]
    assert len(shares) == 4
    assert all(0 <= share < 100 for share in shares)


@pytest.mark.slow
def test_scale_tells_memory_disk_time_and_growth() -> None:
    rows = quick_rows("scale")
    assert {"peak memory of its own", "on disk", "checkpoint", "step of graph"} < ends_of(rows)
    assert all(math.isfinite(row.ours) and row.ours >= 0 for row in rows.values())
    own, with_files = (
        next(row.ours for name, row in rows.items() if name.endswith(end))
        for end in ("peak memory of its own", "peak with mapped files")
    )
    assert 0.05 < own < with_files < 4
    assert sum(row.ratio is not None for row in rows.values()) == 3


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_resume_finds_the_weights_of_a_run_left_alone() -> None:
    different, cost = quick_rows("resume").values()
    assert different.ours == 0
    assert not different.is_below_bar
    assert math.isfinite(cost.ours)  # seconds, which no test judges


@pytest.mark.slow
def test_gpu_tells_speed_share_of_peak_and_waiting_on_a_machine_with_the_network_alone() -> None:
    """A CPU stands in for the GPU; what reads events, stores, images and tables is not there."""
    absent = (
        "click fastapi feast httpcore kafka mlflow neo4j pandas pyarrow ray redis rich sklearn "
        "sqlalchemy tenacity tensorboardX"
    )
    program = (
        "import json, sys\n"
        f"sys.modules.update(dict.fromkeys('{absent}'.split()))\n"
        "from benchmarks.network import gpu\n"
        "print(json.dumps({row.name: row.ours for row in gpu.run(**gpu.QUICK)}))\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=True, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    figures = json.loads(done.stdout)
    assert ends_of(figures) == {
        "posts",
        "users",
        "MFU",
        "share waiting for batches",
        "peak memory",
        "step",
    }
    assert all(ours > 0 for name, ours in figures.items() if not name.endswith("memory"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_gpu_is_left_out_where_there_is_none() -> None:
    with pytest.raises(ServerMissing, match="no CUDA GPU"):
        import_module("benchmarks.network.gpu").run()
