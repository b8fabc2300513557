"""Benchmarks of training on small inputs: that they run and tell what they promise."""

import math
from importlib import import_module

import pytest
import torch

from benchmarks.measure import Row
from tests.servers import ServerMissing


def quick_rows(name: str) -> dict[str, Row]:
    module = import_module(f"benchmarks.{name}")
    return {row.name: row for row in module.run(**module.QUICK)}


def ends_of(rows: dict[str, Row]) -> set[str]:
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
@pytest.mark.timeout(600)
def test_resume_finds_the_weights_of_a_run_left_alone() -> None:
    different, cost = quick_rows("resume").values()
    assert different.ours == 0
    assert not different.is_below_bar
    assert math.isfinite(cost.ours)  # seconds, which no test judges


@pytest.mark.slow
def test_gpu_tells_speed_share_of_peak_and_waiting_also_where_a_cpu_stands_in() -> None:
    rows = quick_rows("gpu")
    assert ends_of(rows) == {
        "posts",
        "users",
        "MFU",
        "share waiting for batches",
        "peak memory",
        "step",
    }
    assert all(row.ours > 0 for name, row in rows.items() if not name.endswith("memory"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_gpu_is_left_out_where_there_is_none() -> None:
    with pytest.raises(ServerMissing, match="no CUDA GPU"):
        import_module("benchmarks.gpu").run()
