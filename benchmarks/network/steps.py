"""Time of a training step by phase on the CPU, beside the same passes of the encoders alone.

Input: a network that `benchmarks.network.made_network` writes, 400 users with 4,000 posts (each
with a caption and an image) and 12,000 follows. Recipes `tiny`, and `minilm` with all objectives at
once (`joint`) as well: a step of `joint` is what the bar of 1.15 is about, the whole of MMGA
against its encoders. One worker, seed 0, as many threads as cores. 3 steps warm up; 25 follow, of
which one measures the gradient of each term, as in every run. What the encoders alone are is told
in `benchmarks.network.encoder_passes`.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.measure import Row
from benchmarks.network.encoder_passes import NUM_WARM_UP_STEPS, TimedSteps, timed_phase
from benchmarks.network.made_network import Size, write_network
from graphdb.snapshot.snapshot import open_snapshot
from training.inputs.post_inputs import open_post_inputs
from training.mmga.config import RunConfig
from training.mmga.phases import Phase
from training.mmga.recipes import recipe
from training.mmga.trainer import Trainer
from training.mmga.training_data import training_data

SIZE = Size(
    num_users=400,
    num_posters=400,
    num_posts=4_000,
    num_images=4_000,
    num_edges=12_000,
    directed=True,
)
NUM_STEPS = 25
MAX_RATIO = 1.15
MAX_WAITING = 5.0

QUICK = {
    "size": replace(SIZE, num_users=60, num_posters=60, num_posts=120, num_edges=600),
    "num_steps": 2,
    "phases": {"smoke": ("phase0", "encoders", "graph", "joint")},
}

PHASES: Mapping[str, Sequence[Phase]] = {
    "tiny": ("phase0", "encoders", "graph"),
    "minilm": ("encoders", "joint"),
}


def run(
    *,
    size: Size = SIZE,
    num_steps: int = NUM_STEPS,
    phases: Mapping[str, Sequence[Phase]] = PHASES,
) -> list[Row]:
    """Rows of each recipe and phase."""
    rows = []
    for name, of_recipe in phases.items():
        for phase in of_recipe:
            timed = timed_steps(config_of(name, phase, num_steps), phase, size, num_steps)
            rows += phase_rows(f"training: {name}, {phase}", timed, num_steps)
    return rows


def config_of(name: str, phase: Phase, num_steps: int) -> RunConfig:
    """The recipe with phases that are long enough to be timed; joint where that is the phase."""
    config = recipe(name)
    length = (
        NUM_WARM_UP_STEPS + num_steps + 1
    )  # a stage's last step evaluation_points for collapse as well
    phases = replace(
        config.phases,
        num_phase0_steps=length,
        num_encoder_steps=length,
        num_graph_steps=length,
        order="joint" if phase == "joint" else "alternating",
    )
    return replace(config, phases=phases)


def timed_steps(config: RunConfig, phase: Phase, size: Size, num_steps: int) -> TimedSteps:
    """Steps of a phase on a network made for them."""
    with tempfile.TemporaryDirectory() as folder:
        network = write_network(Path(folder), size, config)
        snapshot = open_snapshot(network.snapshot)
        data = training_data(snapshot, open_post_inputs(network.post_inputs), config.graph.edges)
        return timed_phase(Trainer(config, data, seed=0), phase, num_steps)


def phase_rows(name: str, timed: TimedSteps, rounds: int) -> list[Row]:
    """The step beside its encoders, and what it waited."""
    rows = [
        Row(
            name=f"{name}, step",
            unit="ms",
            ours=1000 * timed.step,
            rounds=rounds,
            better="lower",
        ),
        Row(
            name=f"{name}, share waiting for batches",
            unit="%",
            ours=100 * timed.waiting,
            rounds=rounds,
            better="lower",
            bar=MAX_WAITING,
        ),
    ]
    if timed.alone == timed.alone:
        rows[0] = replace(
            rows[0],
            rival=1000 * timed.alone,
            rival_name="its encoders alone",
            ratio=timed.ratio,
            bar=MAX_RATIO if "minilm" in name else None,
        )
    return rows
