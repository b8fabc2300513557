"""`mmga demo`: the whole loop on one machine; each step runs a command of `mmga`."""

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from foundation.settings import HOME


@click.command()
@click.option(
    "--events",
    type=click.Path(path_type=Path, exists=True),
    help="Event file to use instead of a generated network.",
)
@click.option(
    "--seeds",
    type=click.IntRange(1),
    help="Number of random seeds; one network is trained for each.",
)
def demo(events: Path | None, seeds: int | None) -> None:
    """Run the whole loop on one machine, in MMGA_HOME/demo, which is emptied first."""
    check_settings(os.environ)
    home = HOME.read(os.environ).resolve() / "demo"
    if events and events.resolve().is_relative_to(home):
        raise click.UsageError(f"{home} is emptied first: copy {events} to another folder")
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    steps = DemoSteps(home)
    if events is None:
        steps.tell("Generate a social network: communities, posts with images, invalid events.")
        events = generate_network(home / "network")
        seeds = seeds or 1
    steps.tell("Write the events to the graph. Duplicates and late events change nothing; invalid")
    steps.more("ones go to the dead letters. Then write statistics of users to the feature store.")
    steps.run("ingest", "--events", str(events))
    if (labels := events.parent / "labels.jsonl").is_file():
        steps.tell("Import labels of users, as events.")
        steps.run("labels", "import", str(labels))
    steps.tell("List the events that could not be applied, with reasons.")
    steps.run("dead-letters", "list")
    steps.tell("Show the content of the graph and the progress of each stage.")
    steps.run("status")
    steps.tell(
        "Train user vectors from images, texts and follows, evaluate them on held-out follows"
    )
    steps.more("beside baselines, and publish them as a new generation.")
    steps.run("train", "--recipe", "tiny", *(["--seeds", str(seeds)] if seeds else []))
    user = most_followed(home)
    steps.tell("Look up the features of a user.")
    steps.run("lookup", user)
    steps.tell("Find the users most similar to that one.")
    steps.run("similar", user)
    steps.close(user)


def check_settings(environ: Mapping[str, str]) -> None:
    """Raises SettingInvalid where one of the steps would, before the first of them."""
    from ingest.settings import IngestSettings
    from serving.settings import ServingSettings
    from training.settings import TrainingSettings

    for settings in (IngestSettings, ServingSettings, TrainingSettings):
        settings.from_environ(environ)


class DemoSteps:
    """Prints each step with its command, and runs the command in a subprocess."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.number = 0

    def tell(self, text: str) -> None:
        """Print the heading of a step."""
        self.number += 1
        click.secho(f"\n{self.number}. {text}", bold=True)

    def more(self, text: str) -> None:
        """Print another line of the step's text."""
        click.secho(f"   {text}", bold=True)

    def run(self, *arguments: str) -> None:
        """Print one command and run it in the demo's home; a failure ends the demo."""
        click.secho(f"   $ mmga {' '.join(arguments)}", fg="cyan")
        sys.stdout.flush()
        done = subprocess.run(  # noqa: S603 - our own commands
            [sys.executable, "-m", "mmga", *arguments],
            env={**os.environ, "MMGA_HOME": str(self.home)},
            check=False,
        )
        if done.returncode:
            raise SystemExit(done.returncode)

    def close(self, user: str) -> None:
        """Print the location of the results and further commands."""
        click.secho("\nAll of it lies in", bold=True, nl=False)
        click.echo(f" {self.home}")
        for name, what in RESULTS.items():
            click.echo(f"   {name:<16}{what}")
        click.secho("\nTry next:", bold=True)
        click.echo(f"   export MMGA_HOME={self.home}")
        click.echo("   mmga serve            # then open http://127.0.0.1:8000/")
        click.echo(f"   curl http://127.0.0.1:8000/v1/users/{user}")
        click.echo("   mmga generations list")
        click.echo("   mmga ingest --events YOUR_EVENTS.jsonl")


RESULTS = {
    "graph.db": "the social graph and its stream positions",
    "online.db": "online features, in Feast's own layout",
    "registry.db": "Feast's registry of them",
    "history/": "features as they were, for training sets as of a time",
    "snapshots/": "frozen graphs that training runs are reproducible from",
    "generations/": "each trained model with its evaluation",
}


def generate_network(folder: Path) -> Path:
    """Write a generated network and return its events."""
    synthetic = importlib.import_module("ingest.synthetic")
    events: Path = synthetic.write_synthetic_network(folder).events
    return events


def most_followed(home: Path) -> str:
    """The user with the most followers."""
    graphdb = importlib.import_module("graphdb")
    numpy = importlib.import_module("numpy")
    store = graphdb.open_graph(f"sqlite:///{home}/graph.db", read_only=True)
    follows = store.follows()
    store.close()
    user: str = follows.user_ids[int(numpy.bincount(follows.followees).argmax())]
    return user
