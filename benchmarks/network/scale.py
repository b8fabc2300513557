"""Memory, disk and time of training at the paper's scale, and whether they grow with the graph.

Input: networks that `benchmarks.network.made_network` writes as snapshot and post inputs. First
that of the paper, 60,000 users with 2,000,000 posts (each with a caption and a 32-pixel image of
its own) and a million mutual follows; then the same posts among 1,000,000 users. Recipe `tiny` with
images of 32 pixels, fan-outs (15, 10) and 256 edges to hide, which takes what a CPU can do: 200
steps of its three phases, batches loaded ahead. Then the posts of one shard of 2,000 users are
encoded; the refreshes of the bank before phases encode a tenth of it alone. What a whole run would
take is extrapolated from these: its steps at the median of their phase, and all shards at the
seconds of this one, at each refresh of the bank and twice at the end. `generations` measures the
graph encoder.

Then the same step on 10,000 users with 100,000 follows and 50,000 posts, and on a hundred times as
much of each: its time and the memory that it takes beyond the opened data and the bank should not
grow. Here few seeds are drawn, with fan-outs (8, 4), so that the smaller graph does not limit how
many users are reached.

Every network is trained in a fresh process. Peaks of memory are what was seen fifty times a second:
the process's own, and together with the pages of the files that it maps, which the system takes
back when memory is short.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.measure import Row
from benchmarks.network.made_network import MadeNetwork, Size, write_network
from benchmarks.network.memory import give_back, memory, watched
from graphdb.snapshot.snapshot import open_snapshot
from training.inputs.post_inputs import open_post_inputs
from training.mmga.config import RunConfig
from training.mmga.phases import Phase, plan
from training.mmga.recipes import recipe, tiny
from training.mmga.trainer import Trainer
from training.mmga.training_data import TrainingData, training_data
from training.mmga.user_vectors import post_vectors, refill

PAPER = Size(
    num_users=60_000,
    num_posters=60_000,
    num_posts=2_000_000,
    num_images=2_000_000,
    num_edges=1_000_000,
)
MOSTLY_SILENT = replace(PAPER, num_users=1_000_000)
SMALL_GRAPH = Size(
    num_users=10_000,
    num_posters=5_000,
    num_posts=50_000,
    num_images=2_000,
    num_edges=100_000,
    directed=True,
)
LARGE_GRAPH = replace(
    SMALL_GRAPH,
    num_users=1_000_000,
    num_posters=500_000,
    num_posts=5_000_000,
    num_edges=10_000_000,
)
GROWING = (SMALL_GRAPH, LARGE_GRAPH)

STEPS: Mapping[Phase, int] = {"phase0": 40, "encoders": 80, "graph": 80}
FEW_STEPS: Mapping[Phase, int] = {"phase0": 10, "encoders": 30, "graph": 200}
NUM_IN_SHARD = 2_000
NUM_ROUNDS = 3
MAX_MEMORY = 8.0
MAX_WAITING = 5.0
MAX_GROWTH = 1.2
GIGA = 1e9
MEGA = 1e6

QUICK = {
    "sizes": (Size(num_users=600, num_posters=60, num_posts=600, num_images=600, num_edges=3_000),),
    "growing": tuple(
        Size(
            num_users=n,
            num_posters=50,
            num_posts=400,
            num_images=50,
            num_edges=5 * n,
            directed=True,
        )
        for n in (400, 800)
    ),
    "steps": {"phase0": 2, "encoders": 2, "graph": 2},
    "few_steps": {"phase0": 2, "encoders": 2, "graph": 2},
    "num_in_shard": 50,
    "rounds": 1,
    "name": "smoke",
}


def run(
    *,
    sizes: Sequence[Size] = (PAPER, MOSTLY_SILENT),
    growing: Sequence[Size] = GROWING,
    steps: Mapping[Phase, int] = STEPS,
    few_steps: Mapping[Phase, int] = FEW_STEPS,
    num_in_shard: int = NUM_IN_SHARD,
    rounds: int = NUM_ROUNDS,
    name: str = "tiny",
) -> list[Row]:
    """The rows of each size, then those of growth."""
    rows = []
    for size in sizes:
        [[measured]] = measure([size], scaled(steps, (15, 10), 256, name), num_in_shard)
        rows += rows_of(size, measured, num_in_shard)
    few_seeds = scaled(few_steps, (8, 4), 8, name)
    turns = list(zip(*measure(growing, few_seeds, num_in_shard, rounds), strict=True))
    return rows + growth(growing, turns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a process that trained has found; bytes and seconds."""

    num_bytes_on_disk: int
    own_peak: int
    peak_with_files: int
    step_memory: int
    seconds: Mapping[Phase, Sequence[float]]
    waited: float
    shard_seconds: float
    num_checkpoint_bytes: int

    def median(self, phase: Phase) -> float:
        """Seconds of a step."""
        return statistics.median(self.seconds[phase])


def scaled(
    steps: Mapping[Phase, int],
    fan_outs: tuple[int, ...],
    num_edge_targets: int,
    name: str = "tiny",
) -> RunConfig:
    """The recipe with small images and bounded neighbourhoods."""
    config = recipe(name)
    return replace(
        config,
        image=replace(config.image, image_size=32, patch_size=8),
        graph=replace(config.graph, fan_outs=fan_outs),
        phases=replace(
            config.phases,
            num_phase0_steps=steps["phase0"],
            num_rounds=1,
            num_encoder_steps=steps["encoders"],
            num_graph_steps=steps["graph"],
            num_edge_targets=num_edge_targets,
        ),
    )


def measure(
    sizes: Sequence[Size], config: RunConfig, num_in_shard: int, rounds: int = 1
) -> list[list[Measured]]:
    """Write networks and train on each in turn, every time in a fresh process: rounds by size."""
    found: list[list[Measured]] = [[] for _ in sizes]
    with tempfile.TemporaryDirectory() as folder:
        networks = [
            write_network(Path(folder) / str(number), size, config)
            for number, size in enumerate(sizes)
        ]
        for _ in range(rounds):
            for network, measured in zip(networks, found, strict=True):
                with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
                    measured.append(fresh.submit(train, network, config, num_in_shard).result())
    return found


def train(network: MadeNetwork, config: RunConfig, num_in_shard: int) -> Measured:
    """Do all steps of the phases and encode the posts of one shard, and tell what that took."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    with watched() as whole:
        snapshot = open_snapshot(network.snapshot, verify=False)
        data = training_data(snapshot, open_post_inputs(network.post_inputs), config.graph.edges)
        posters = np.flatnonzero(np.diff(data.texts.indptr))
        shard = posters[: min(num_in_shard, len(posters))]
        trainer = ShardTrainer(config, data, shard[: max(1, len(shard) // 10)])
        trainer.bank.clear()  # to have its pages
        give_back()
        opened, _ = memory()
        with watched() as stepping:
            seconds, waited = timed_steps(trainer)
        started = time.perf_counter()
        post_vectors(trainer.model, data, shard)
        ended = time.perf_counter()
    return Measured(
        num_bytes_on_disk=network.num_bytes,
        own_peak=whole.own,
        peak_with_files=whole.with_files,
        step_memory=stepping.own - opened,
        seconds=seconds,
        waited=waited,
        shard_seconds=ended - started,
        num_checkpoint_bytes=sum(each.nbytes for each in trainer.state().values()),
    )


class ShardTrainer(Trainer):
    """A trainer that refreshes the bank for some users alone."""

    def __init__(self, config: RunConfig, data: TrainingData, shard: NDArray[np.int64]) -> None:
        super().__init__(config, data, seed=0)
        self.shard = shard

    def refresh_bank(self) -> None:
        """Encode these users."""
        refill(self.bank, self.model, self.data, users=self.shard)


def timed_steps(trainer: Trainer) -> tuple[dict[Phase, list[float]], float]:
    """Seconds of each step by phase, and the share of all of them that waited for batches.

    The first step of a stage, which may refresh the bank, is left out.
    """
    firsts = {stage.first for stage in plan(trainer.config.phases)}
    seconds: dict[Phase, list[float]] = {}
    waited = total = 0.0
    started = time.perf_counter()
    for record in trainer.steps(0):
        ended = time.perf_counter()
        if record.number not in firsts:
            seconds.setdefault(record.phase, []).append(ended - started)
            total += ended - started
            waited += record.waited_seconds
        started = time.perf_counter()
    return seconds, waited / total


def rows_of(size: Size, measured: Measured, num_in_shard: int) -> list[Row]:
    """What training took at this size."""
    where = f"scale: {size.num_users:,} users, {size.num_posts:,} posts"
    rows = [
        row(f"{where}, peak memory of its own", "GB", measured.own_peak / GIGA, bar=MAX_MEMORY),
        row(f"{where}, peak with mapped files", "GB", measured.peak_with_files / GIGA),
        row(f"{where}, on disk", "GB", measured.num_bytes_on_disk / GIGA),
        row(f"{where}, checkpoint", "MB", measured.num_checkpoint_bytes / MEGA),
        row(f"{where}, share waiting for batches", "%", 100 * measured.waited, bar=MAX_WAITING),
    ]
    rows += [
        row(f"{where}, step of {phase}", "ms", 1000 * measured.median(phase), rounds=len(seconds))
        for phase, seconds in measured.seconds.items()
    ]
    num_users = min(num_in_shard, size.num_posters)
    return [
        *rows,
        row(f"{where}, encoding the posts of {num_users:,} users", "s", measured.shard_seconds),
        row(
            f"{where}, whole run of `tiny`, extrapolated",
            "h",
            whole_run_seconds(measured, size.num_posters / num_users) / 3600,
        ),
    ]


def whole_run_seconds(measured: Measured, num_shards: float) -> float:
    """The steps of `tiny`, a refresh of the bank at each stage after phase 0, and two encodings."""
    stages = plan(tiny().phases)
    steps = sum(stage.num_steps * measured.median(stage.phase) for stage in stages)
    num_encodings = sum(stage.phase == "graph" for stage in stages) + 2
    return steps + num_encodings * num_shards * measured.shard_seconds


def growth(sizes: Sequence[Size], turns: Sequence[tuple[Measured, ...]]) -> list[Row]:
    """The larger graph against the smaller one, in turns (small, large)."""
    before, after = (f"{size.num_edges:,} follows" for size in sizes)
    figures: list[tuple[str, str, Callable[[Measured], float]]] = [
        ("step of encoders", "ms", lambda each: 1000 * each.median("encoders")),
        ("step of graph", "ms", lambda each: 1000 * each.median("graph")),
        ("memory of a step", "MB", lambda each: each.step_memory / MEGA),
    ]
    return [
        Row(
            name=f"scale: {name}, {after}",
            unit=unit,
            ours=statistics.median(figure(large) for _, large in turns),
            rival_name=before,
            rival=statistics.median(figure(small) for small, _ in turns),
            ratio=statistics.median(figure(large) / figure(small) for small, large in turns),
            rounds=len(turns),
            better="lower",
            bar=MAX_GROWTH,
        )
        for name, unit, figure in figures
    ]


def row(name: str, unit: str, ours: float, *, rounds: int = 1, bar: float | None = None) -> Row:
    """A row of our own figure alone, of which less is better."""
    return Row(name=name, unit=unit, ours=ours, rounds=rounds, better="lower", bar=bar)
