"""The command that trains."""

import json
import os
from contextlib import closing

import click


@click.command()
@click.option("--recipe", "recipe_name", default="tiny", show_default=True, help="What to train.")
@click.option(
    "--seeds",
    "num_seeds",
    type=click.IntRange(1, 20),
    default=3,
    show_default=True,
    help="Networks to train; the first is published, all are evaluated.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    help="Processes that share each training step.",
)
@click.option("--paper-literal", is_flag=True, help="Every form as the paper prints it.")
@click.option("--no-publish", is_flag=True, help="Train and evaluate, and leave it at that.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON document.")
def train(
    recipe_name: str,
    num_seeds: int,
    workers: int,
    paper_literal: bool,
    no_publish: bool,
    as_json: bool,
) -> None:
    """Train, evaluate and publish user representations.

    A snapshot of the graph is pinned, networks are trained on it without its held-out follows and
    judged on these, beside counting heuristics and the same networks before training. The first
    seed's vectors, over all follows, become a generation. A run that was interrupted goes on where
    it was when the same command is given again.
    """
    # Torch, Ray and transformers take seconds to import: not for `--help`, nor for a typing error.
    from featurestore.settings import FeatureStoreSettings
    from graphdb import open_graph
    from graphdb.settings import GraphSettings
    from graphdb.stage import StageLock
    from training import recipe
    from training.progress import ConsoleReporter
    from training.run import RunRequest
    from training.run_report import train_and_publish
    from training.settings import TrainingSettings

    settings = TrainingSettings.from_environ(os.environ)
    config = recipe.recipe(recipe_name)
    request = RunRequest(
        config=recipe.paper_literal(config) if paper_literal else config,
        seeds=tuple(range(num_seeds)),
        workers=workers,
    )
    graph_url = GraphSettings.from_environ(os.environ).graph_url
    with (
        StageLock(settings.home, "train"),
        closing(open_graph(graph_url, read_only=True)) as store,
        ConsoleReporter() as reporter,
    ):
        report = train_and_publish(
            settings,
            FeatureStoreSettings.from_environ(os.environ),
            store,
            request,
            reporter,
            publishing=not no_publish,
        )
    click.echo(json.dumps(report.document()) if as_json else str(report))
