"""The recipe `base` on a CUDA GPU: speed, share of peak, memory, and what its steps wait for.

    python -m benchmarks gpu

Any machine with a CUDA GPU runs it, and it needs nothing from the network: encoders have random
weights, which are as fast as pretrained ones. Input: a network that
`benchmarks.network.made_network` writes, 2,000 users with 10,000 posts, captions up to 64 tokens,
2,048 different images of 224 pixels, 40,000 follows. Where the GPU has less than 80 GB, batches are
halved until they fit, and the row says so. Phases `encoders` and `joint` (all objectives at once),
one process, bf16.

posts/s counts encoded captions and images, two a post. MFU is the FLOPs of all matrix products and
attentions of a step, padding included, over its time and the dense bf16 peak of the GPU; where that
is not in the table here, a product of large matrices is measured instead. `waiting` is the share of
the time for which the host waited for batches, so the GPU waited no longer. What the encoders alone
are is told in `benchmarks.network.encoder_passes`.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measure import Row
from benchmarks.network.encoder_passes import (
    NUM_WARM_UP_STEPS,
    TimedSteps,
    encoder_batches,
    now,
    timed_phase,
)
from benchmarks.network.made_network import Size, write_network
from graphdb.snapshot.snapshot import open_snapshot
from tests.servers import ServerMissing
from training.inputs.post_inputs import open_post_inputs
from training.mmga.batches import EncoderBatch
from training.mmga.config import RunConfig
from training.mmga.phases import Phase, plan
from training.mmga.recipes import recipe
from training.mmga.trainer import Trainer
from training.mmga.training_data import training_data

SIZE = Size(
    num_users=2_000,
    num_posters=2_000,
    num_posts=10_000,
    num_images=2_048,
    num_edges=40_000,
    directed=True,
)
PHASES: Sequence[Phase] = ("encoders", "joint")
NUM_STEPS = 25
GIGA = 2**30
MEMORY_OF_WHOLE_BATCH = 80 * GIGA

PEAKS = {
    "B200": 2250e12,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "A10G": 70e12,
    "A10": 125e12,
    "L40S": 362e12,
    "L4": 121e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
}
"""Dense bf16 FLOP/s of NVIDIA's data sheets, by what the name of the device contains."""

MAX_RATIO = 1.15
MAX_WAITING = 5.0
MIN_MFU = 40.0

QUICK = {
    "name": "smoke",
    "size": replace(SIZE, num_users=40, num_posters=40, num_posts=80, num_images=20, num_edges=200),
    "device_name": "cpu",
    "num_steps": 2,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What one step encodes, and the FLOPs that it takes."""

    num_posts: float
    num_users: int
    flops: float


def run(
    *,
    name: str = "base",
    size: Size = SIZE,
    device_name: str = "cuda",
    num_steps: int = NUM_STEPS,
) -> list[Row]:
    """Rows of both phases. Raises ServerMissing without a GPU."""
    if device_name == "cuda" and not torch.cuda.is_available():
        raise ServerMissing("no CUDA GPU is here")
    device = torch.device(device_name)
    peak = peak_flops(device)
    rows = []
    for phase in PHASES:
        config = fitted(config_of(name, phase, num_steps), device)
        with tempfile.TemporaryDirectory() as folder:
            trainer = made_trainer(Path(folder), config, size, device)
            timed = timed_phase(trainer, phase, num_steps)
            title = f"gpu: {named(device)}, {name}, {phase}{batch_note(config, name)}"
            rows += phase_rows(title, timed, work_of(trainer, phase), peak, num_steps)
    return rows


def config_of(name: str, phase: Phase, num_steps: int) -> RunConfig:
    """The recipe at random weights, with phases that are long enough to be timed."""
    config = recipe(name)
    length = (
        NUM_WARM_UP_STEPS + num_steps + 1
    )  # a stage's last step evaluation_points for collapse as well
    return replace(
        config,
        text=replace(config.text, pretrained=None),
        image=replace(config.image, pretrained=None),
        phases=replace(
            config.phases,
            num_phase0_steps=0,
            num_encoder_steps=length,
            num_graph_steps=length,
            order="joint" if phase == "joint" else "alternating",
        ),
    )


def fitted(config: RunConfig, device: torch.device) -> RunConfig:
    """The same run, batches of posts halved until the GPU holds them."""
    if device.type != "cuda":
        return config
    memory = torch.cuda.get_device_properties(device).total_memory
    needed = 0.9 * MEMORY_OF_WHOLE_BATCH
    while needed > memory:
        needed /= 2
        phases = config.phases
        config = replace(
            config,
            phases=replace(
                phases,
                num_lm_posts=phases.num_lm_posts // 2,
                num_alignment_pairs=phases.num_alignment_pairs // 2,
                num_contrast_pairs=phases.num_contrast_pairs // 2,
                num_microbatches=phases.num_microbatches * 2,
            ),
        )
    return config


def batch_note(config: RunConfig, name: str) -> str:
    """What was done to fit the batch, if anything."""
    times = config.phases.num_microbatches // recipe(name).phases.num_microbatches
    return f", batch in {config.phases.num_microbatches} parts" if times > 1 else ""


def made_trainer(folder: Path, config: RunConfig, size: Size, device: torch.device) -> Trainer:
    """A trainer on a network made for it."""
    network = write_network(folder, size, config)
    snapshot = open_snapshot(network.snapshot)
    data = training_data(snapshot, open_post_inputs(network.post_inputs), config.graph.edges)
    return Trainer(config, data, seed=0, device=device)


def work_of(trainer: Trainer, phase: Phase) -> Work:
    """What the second step of a phase encodes, counted while it is done once more."""
    first = next(stage.first for stage in plan(trainer.config.phases) if stage.phase == phase)
    batches = encoder_batches(trainer, first + 1)
    with FlopCounterMode(display=False) as counter:
        trainer.step(first + 1)
    return Work(
        num_posts=sum(map(num_encoded, batches)) / 2,
        num_users=sum(len(batch.users.users) for batch in batches if batch.users is not None),
        flops=float(counter.get_total_flops()),
    )


def num_encoded(batch: EncoderBatch) -> int:
    """Captions and images that pass an encoder."""
    posts, users = batch.posts, batch.users
    count = len(posts.lm_tokens) + len(posts.aligned_tokens) + len(posts.aligned_pixels)
    return count if users is None else count + len(users.token_owners) + len(users.pixels)


def phase_rows(title: str, timed: TimedSteps, work: Work, peak: float, rounds: int) -> list[Row]:
    """All that is told of one phase."""
    figures = [
        Row(name="posts", unit="posts/s", ours=work.num_posts / timed.step),
        Row(name="users", unit="users/s", ours=work.num_users / timed.step),
        Row(name="MFU", unit="%", ours=100 * work.flops / timed.step / peak, bar=MIN_MFU),
        Row(
            name="share waiting for batches",
            unit="%",
            ours=100 * timed.waiting,
            better="lower",
            bar=MAX_WAITING,
        ),
        Row(name="peak memory", unit="GiB", ours=timed.peak_bytes / GIGA, better="lower"),
        Row(
            name="step",
            unit="ms",
            ours=1000 * timed.step,
            rival=1000 * timed.alone,
            rival_name="its encoders alone",
            ratio=timed.ratio,
            better="lower",
            bar=MAX_RATIO,
        ),
    ]
    return [replace(each, name=f"{title}, {each.name}", rounds=rounds) for each in figures]


def named(device: torch.device) -> str:
    """The device's name, for the table."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def peak_flops(device: torch.device) -> float:
    """Dense bf16 FLOP/s of this device, from the table or measured."""
    if device.type == "cuda":
        for part, peak in PEAKS.items():
            if part in named(device):
                return peak
    return measured_flops(device, width=8192 if device.type == "cuda" else 256)


def measured_flops(device: torch.device, *, width: int, repeats: int = 20) -> float:
    """FLOP/s of products of square bf16 matrices."""
    left = torch.randn(width, width, device=device, dtype=torch.bfloat16)
    for _ in range(3):
        left @ left
    started = now(device)
    for _ in range(repeats):
        left @ left
    return repeats * 2 * width**3 / (now(device) - started)
