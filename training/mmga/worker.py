"""What a Ray Train worker does for MMGA: opens its trainer and hands it to the engine."""

from contextlib import closing
from pathlib import Path
from typing import Any

import ray.train.torch
import torch

from graphdb.snapshot.snapshot import open_snapshot
from training.engine.seed_files import SeedFiles
from training.engine.worker import train
from training.errors import LASTING
from training.inputs.post_inputs import open_post_inputs
from training.mmga.trainer import Trainer
from training.mmga.training_data import training_data
from training.options.document import from_json
from training.sampling.open import open_source


def train_seed(arguments: dict[str, Any]) -> None:
    """Train one seed of a run from the beginning or from its newest checkpoint.

    `arguments` (plain values, for they cross processes): config, snapshot, post_inputs, folder,
    graph_url, attempt, seed, num_threads.
    """
    torch.set_num_threads(arguments["num_threads"])
    files, attempt = SeedFiles(Path(arguments["folder"])), arguments["attempt"]
    files.check_not_given_up(attempt)
    context = ray.train.get_context()
    try:
        trainer = open_trainer(arguments, context.get_world_rank(), context.get_world_size())
        with closing(trainer.data.source):
            train(trainer, files, attempt)
    except LASTING as error:
        files.give_up(attempt, error)  # Ray starts workers again whatever they raised
        raise


def open_trainer(arguments: dict[str, Any], rank: int, num_ranks: int) -> Trainer:
    """The trainer of this worker, at its initial weights."""
    config = from_json(arguments["config"])
    snapshot = open_snapshot(Path(arguments["snapshot"]), verify=False)
    inputs = open_post_inputs(Path(arguments["post_inputs"]))
    source = open_source(config, snapshot, arguments["graph_url"])
    data = training_data(snapshot, inputs, config.graph.edges, source)
    return Trainer(
        config,
        data,
        seed=arguments["seed"],
        rank=rank,
        num_ranks=num_ranks,
        device=ray.train.torch.get_device(),
    )
