"""The command that trains."""

import json
import os
from contextlib import closing
from typing import get_args

import click

from training.mmga.config import RunConfig
from training.mmga.recipes import RECIPES, paper_literal, recipe
from training.options.assignments import options, with_options
from training.options.document import to_json
from training.sampling.config import Sampler

WEIGHTS = ("text.pretrained", "image.pretrained")


def choices() -> str:
    """The options that take one of a few words, for the help."""
    listed = [
        f"  {option.name}: {', '.join(option.choices)}"
        for option in options(recipe("tiny")).values()
        if option.choices
    ]
    return "\b\nOptions of --set that take one of a few words:\n" + "\n".join(listed)


@click.command(epilog=choices())
@click.option(
    "--recipe",
    "recipe_name",
    default="tiny",
    show_default=True,
    help=f"What to train: {', '.join(sorted(RECIPES))}.",
)
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
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="NAME=VALUE",
    help="Any option of the run, such as objectives.weight_lm=0.5 or graph.edges=mutual; may be "
    "given several times. --show prints all names.",
)
@click.option(
    "--sampler",
    type=click.Choice(get_args(Sampler)),
    help="Where neighbours come from: the frozen snapshot, or queries to the graph's database. "
    "Short for --set sampler=….",
)
@click.option(
    "--text-encoder",
    metavar="NAME_OR_FOLDER",
    help="Pretrained BERT to begin at, with its sizes and tokenizer: a folder, "
    "package:NAME/FOLDER inside an installed package, or a name on the hub.",
)
@click.option(
    "--image-encoder",
    metavar="NAME_OR_FOLDER",
    help="Pretrained ViT to begin at, with its sizes.",
)
@click.option(
    "--new", "fresh", is_flag=True, help="Begin a new run, whatever was interrupted before."
)
@click.option("--paper-literal", "literal", is_flag=True, help="Every form as the paper prints it.")
@click.option("--show", is_flag=True, help="Print the run's options as JSON and train nothing.")
@click.option("--no-publish", is_flag=True, help="Train and evaluate, and leave it at that.")
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
    literal: bool,
    show: bool,
    no_publish: bool,
    as_json: bool,
) -> None:
    """Train, evaluate and publish user representations.

    A snapshot of the graph is pinned, networks are trained on it without its held-out follows and
    evaluated on these, beside counting heuristics and the same networks before training. The first
    seed's vectors, over all follows, become a generation. A run that was interrupted goes on where
    it was when the same command is given again, without --new.
    """
    config = recipe(recipe_name)
    config = paper_literal(config) if literal else config
    config = with_encoders(config, text_encoder, image_encoder)
    own = (f"sampler={sampler}",) if sampler else ()
    config = with_options(config, (*map(with_absolute_weights, assignments), *own))
    if show:
        click.echo(to_json(config))
        return
    run(config, num_seeds, workers, fresh=fresh, publishing=not no_publish, as_json=as_json)


def with_absolute_weights(assignment: str) -> str:
    """The assignment, with the whole path where it names a folder of pretrained weights.

    Ray gives each worker a current folder of its own.
    """
    name, separator, value = assignment.partition("=")
    if name.strip() not in WEIGHTS or value.strip().lower() == "none":
        return assignment
    from training.networks.weights import absolute_weights

    return name + separator + absolute_weights(value.strip())


def with_encoders(config: RunConfig, text: str | None, image: str | None) -> RunConfig:
    """The config with these pretrained encoders, where given."""
    if text is None and image is None:
        return config
    from training.mmga.pretrained_sizes import with_image_encoder, with_text_encoder

    config = config if text is None else with_text_encoder(config, text)
    return config if image is None else with_image_encoder(config, image)


def run(
    config: RunConfig,
    num_seeds: int,
    workers: int,
    *,
    fresh: bool,
    publishing: bool,
    as_json: bool,
) -> None:
    """Train as the environment's settings say, and print the report."""
    # Torch, Ray and transformers take seconds to import: not for `--help`, nor for a typing error.
    from featurestore.settings import FeatureStoreSettings
    from graphdb import open_graph
    from graphdb.settings import GraphSettings
    from graphdb.stage import StageLock
    from training.engine.progress import ConsoleReporter
    from training.runs.report import train_and_publish
    from training.runs.run import RunRequest
    from training.settings import TrainingSettings

    settings = TrainingSettings.from_environ(os.environ)
    request = RunRequest(config=config, seeds=tuple(range(num_seeds)), workers=workers, fresh=fresh)
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
            publishing=publishing,
        )
    click.echo(json.dumps(report.document()) if as_json else str(report))
