"""The command that trains."""

import json
import os
from contextlib import closing
from typing import get_args

import click

from foundation.stage_run import stage_run
from foundation.stop import StopRequest
from training.cli.ending import ending_in_order
from training.mmga.config import RunConfig
from training.mmga.recipes import RECIPES, paper_literal, recipe
from training.options.assignments import options, with_options
from training.options.document import to_json
from training.sampling.config import Sampler

WEIGHTS = ("text.pretrained", "image.pretrained")


def choices() -> str:
    """The options that take one of a fixed set of values, for the help."""
    listed = [
        f"  {option.name}: {', '.join(option.choices)}"
        for option in options(recipe("tiny")).values()
        if option.choices
    ]
    return "\b\nOptions of --set with a fixed set of values:\n" + "\n".join(listed)


@click.command(epilog=choices())
@click.option(
    "--recipe",
    "recipe_name",
    default="tiny",
    show_default=True,
    help=f"Named configuration to start from: {', '.join(sorted(RECIPES))}.",
)
@click.option(
    "--seeds",
    "num_seeds",
    type=click.IntRange(1, 20),
    default=3,
    show_default=True,
    help="Number of random seeds. One network is trained and evaluated for each; that of the first "
    "seed is published.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    help="Number of Ray Train worker processes. They split each batch between them.",
)
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="NAME=VALUE",
    help="Override an option of the recipe, for example objectives.weight_lm=0.5 or "
    "graph.edges=mutual. Repeatable. --show prints all options.",
)
@click.option(
    "--sampler",
    type=click.Choice(get_args(Sampler)),
    help="Source of sampled neighbours: the frozen snapshot in memory, or queries to the graph "
    "database. Same as --set sampler=….",
)
@click.option(
    "--text-encoder",
    metavar="NAME_OR_FOLDER",
    help="Initialise the text encoder from a pretrained BERT, with its sizes and tokenizer: a "
    "folder, package:NAME/FOLDER inside an installed package, or a Hugging Face model name.",
)
@click.option(
    "--image-encoder",
    metavar="NAME_OR_FOLDER",
    help="Initialise the image encoder from a pretrained ViT, with its sizes. Same forms as "
    "--text-encoder.",
)
@click.option(
    "--new", "fresh", is_flag=True, help="Start a new run instead of resuming an interrupted one."
)
@click.option(
    "--retry-images",
    is_flag=True,
    help="Read all images again, also those that were read before or refused.",
)
@click.option(
    "--paper-literal",
    "literal",
    is_flag=True,
    help="Use all equations as printed in arXiv 2210.09946.",
)
@click.option("--show", is_flag=True, help="Print the configuration as JSON and exit.")
@click.option("--no-publish", is_flag=True, help="Train and evaluate only; publish nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON document.")
def train(
    recipe_name: str,
    num_seeds: int,
    workers: int,
    assignments: tuple[str, ...],
    sampler: str | None,
    text_encoder: str | None,
    image_encoder: str | None,
    fresh: bool,
    retry_images: bool,
    literal: bool,
    show: bool,
    no_publish: bool,
    as_json: bool,
) -> None:
    """Train, evaluate and publish user representations.

    Training reads a frozen snapshot of the graph. Part of the follows is held out: training does
    not see them, and evaluation measures how well the vectors predict them, compared with simple
    heuristics and with the untrained networks. The network of the first seed then encodes all
    users from all follows, and its vectors are published as a new generation.

    SIGINT (Ctrl-C) and SIGTERM end a run in order, with exit status 130 or 143. To resume an
    interrupted run, repeat the same command without --new.
    """
    with ending_in_order(is_fresh=fresh) as stop:
        with stop.at_once():
            config = recipe(recipe_name)
            config = paper_literal(config) if literal else config
            config = with_encoders(config, text_encoder, image_encoder)
            own = (f"sampler={sampler}",) if sampler else ()
            config = with_options(config, (*map(with_absolute_weights, assignments), *own))
        if show:
            click.echo(to_json(config))
            return
        run(
            config,
            num_seeds,
            workers,
            stop,
            fresh=fresh,
            retry_images=retry_images,
            publishing=not no_publish,
            as_json=as_json,
        )


def with_absolute_weights(assignment: str) -> str:
    """The assignment, with an absolute path if it names a folder of pretrained weights.

    Each Ray worker has its own current directory, so relative paths would not resolve.
    """
    name, separator, value = assignment.partition("=")
    if name.strip() not in WEIGHTS or value.strip().lower() == "none":
        return assignment
    from training.networks.weights import absolute_weights

    return name + separator + absolute_weights(value.strip())


def with_encoders(config: RunConfig, text: str | None, image: str | None) -> RunConfig:
    """The config with the given pretrained encoders."""
    if text is None and image is None:
        return config
    from training.mmga.pretrained_sizes import with_image_encoder, with_text_encoder

    config = config if text is None else with_text_encoder(config, text)
    return config if image is None else with_image_encoder(config, image)


def run(
    config: RunConfig,
    num_seeds: int,
    workers: int,
    stop: StopRequest,
    *,
    fresh: bool,
    retry_images: bool,
    publishing: bool,
    as_json: bool,
) -> None:
    """Train with the settings of the environment, and print the report.

    Raises KeyboardInterrupt after a signal.
    """
    from featurestore.settings import FeatureStoreSettings
    from graphdb import open_graph
    from graphdb.settings import GraphSettings
    from graphdb.stage import StageLock
    from training.settings import TrainingSettings

    settings = TrainingSettings.from_environ(os.environ)
    features = FeatureStoreSettings.from_environ(os.environ)
    graph_url = GraphSettings.from_environ(os.environ).graph_url
    with (
        StageLock(settings.home, "train"),
        stage_run(settings.home, "train"),
        closing(open_graph(graph_url, read_only=True)) as store,
    ):
        # Torch, Ray and transformers take seconds to import: errors before this line skip that.
        with stop.at_once():
            from training.engine.progress import ConsoleReporter
            from training.runs.report import train_and_publish
            from training.runs.run import RunRequest

        request = RunRequest(
            config=config,
            seeds=tuple(range(num_seeds)),
            workers=workers,
            fresh=fresh,
            retry_images=retry_images,
        )
        with ConsoleReporter(stop=stop) as reporter:
            report = train_and_publish(
                settings, features, store, request, reporter, publishing=publishing
            )
    click.echo(json.dumps(report.document()) if as_json else str(report))
