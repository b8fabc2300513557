"""The entry point of a Ray Train worker for MMGA: opens its trainer, passes it to the engine."""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from graphdb.snapshot.snapshot import open_snapshot
from training.engine.worker import Rank, run_worker
from training.inputs.post_inputs import open_post_inputs
from training.mmga.config import RunConfig
from training.mmga.trainer import Trainer
from training.mmga.training_data import training_data
from training.options.document import from_json
from training.sampling.open import open_source


def work(arguments: Mapping[str, Any]) -> None:
    """Train one seed; `arguments` are the engine's and those of `open_trainer`."""
    run_worker(arguments, open_trainer)


@contextmanager
def open_trainer(arguments: Mapping[str, Any], rank: Rank) -> Iterator[Trainer]:
    """The trainer of this worker at initial weights; its source of edges is closed on exit.

    `arguments`: config (JSON), snapshot and post_inputs (paths), graph_url (of the database that
    the sampler may read), seed.
    """
    config = from_json(RunConfig, arguments["config"])
    snapshot = open_snapshot(Path(arguments["snapshot"]), verify=False)
    inputs = open_post_inputs(Path(arguments["post_inputs"]))
    edges = config.graph.edges
    with closing(open_source(config.sampler, edges, snapshot, arguments["graph_url"])) as source:
        yield Trainer(
            config,
            training_data(snapshot, inputs, edges, source),
            seed=arguments["seed"],
            rank=rank.number,
            num_ranks=rank.num_ranks,
            device=rank.device,
        )
