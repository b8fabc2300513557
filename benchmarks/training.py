"""Time of a training step and its parts, by phase, on the CPU.

Input: the network that `ingest.synthetic.write_synthetic_network` generates (300 users, seed 0),
ingested into an empty store; recipe `tiny`, seed 0, one worker, as many threads as cores. Of each
phase 3 steps warm up and 15 are timed. A step is a batch drawn, the losses forward, and their
gradients with the optimiser's update; "share spent on the batch" is what a training device would
wait for data if nothing were loaded ahead.
"""

import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from benchmarks.measure import Row
from graphdb import open_graph
from graphdb.settings import GraphSettings
from graphdb.snapshot import take_snapshot
from ingest.dead_letters import DeadLetterFile
from ingest.files import FileSource
from ingest.pipeline import Pipeline
from ingest.synthetic import write_synthetic_network
from training.caption_tokens import read_captions
from training.model import weigh
from training.post_inputs import prepare_post_inputs
from training.recipe import tiny
from training.schedule import Phase, plan
from training.settings import TrainingSettings
from training.tokens import train_tokenizer
from training.trainer import Trainer
from training.training_data import training_data

NUM_WARM_UP_STEPS = 3
NUM_TIMED_STEPS = 15


def run() -> list[Row]:
    """One row a phase for the step, and one for each of its parts."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = generated_trainer(Path(folder))
        phases = {stage.phase: stage.first for stage in plan(trainer.config.schedule)}
        trainer.refresh_bank()
        return [row for phase in phases for row in phase_rows(trainer, phase, phases[phase])]


def generated_trainer(folder: Path) -> Trainer:
    """A trainer on the generated network."""
    network = write_synthetic_network(folder / "network")
    environment = {"MMGA_HOME": str(folder), "MMGA_MEDIA_ROOT": str(network.folder)}
    store = open_graph(GraphSettings.from_environ(environment).graph_url)
    letters = DeadLetterFile(folder / "dead_letters.jsonl")
    pipeline = Pipeline(FileSource(network.events), store, letters, batch_size=10_000)
    pipeline.resume()
    while pipeline.step():
        pass
    config = tiny()
    snapshot = take_snapshot(store, folder / "snapshots")
    captions = read_captions(store, snapshot)
    tokenizer = train_tokenizer(captions, vocabulary_size=config.text.vocabulary_size)
    inputs = prepare_post_inputs(
        store,
        snapshot,
        TrainingSettings.from_environ(environment),
        tokenizer,
        image_size=config.image.image_size,
        max_tokens=config.text.max_tokens,
    )
    store.close()
    return Trainer(config, training_data(snapshot, inputs, config.graph.edges), seed=0)


def phase_rows(trainer: Trainer, phase: Phase, first_step: int) -> list[Row]:
    """The median step of a phase and its parts."""
    timed = [timed_step(trainer, first_step + number) for number in range(NUM_WARM_UP_STEPS)]
    timed = [timed_step(trainer, first_step + number) for number in range(NUM_TIMED_STEPS)]
    medians = {part: statistics.median(step[part] for step in timed) for part in timed[0]}
    share = statistics.median(step["batch"] / step["step"] for step in timed)
    return [
        *(milliseconds(f"training: {phase}, {part}", medians[part]) for part in medians),
        Row(
            name=f"training: {phase}, share spent on the batch",
            unit="%",
            ours=100 * share,
            rounds=NUM_TIMED_STEPS,
            better="lower",
        ),
    ]


def timed_step(trainer: Trainer, number: int) -> Mapping[str, float]:
    """Seconds of one step, as `Trainer.step` does it, and of its parts."""
    stage = next(
        stage
        for stage in plan(trainer.config.schedule)
        if stage.first <= number < stage.first + stage.num_steps
    )
    torch.manual_seed(number)
    started = time.perf_counter()
    batch = trainer.draw(stage, np.random.default_rng(number))
    drawn = time.perf_counter()
    total = weigh(trainer.network(batch, trainer.bank), trainer.config)
    forward = time.perf_counter()
    trainer.descend(stage, number, total)
    ended = time.perf_counter()
    return {
        "step": ended - started,
        "batch": drawn - started,
        "losses": forward - drawn,
        "gradients and update": ended - forward,
    }


def milliseconds(name: str, seconds: float) -> Row:
    """A row of our own figure alone."""
    return Row(name=name, unit="ms", ours=1000 * seconds, rounds=NUM_TIMED_STEPS, better="lower")
