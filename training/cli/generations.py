"""The commands on generations. `list` and `show` only read; the others change what is served."""

import json
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import click

from training.cli.generation_text import document, lines, summary, table

if TYPE_CHECKING:
    from featurestore.generations.generation import Generations
    from featurestore.online.pointer import Pointer, PointerChange
    from training.publishing.catch_up import CatchUp
    from training.publishing.stores import Stores


@click.group()
def generations() -> None:
    """List, activate, roll back, pin and drop generations (published training runs)."""


@generations.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_generations(as_json: bool) -> None:
    """List all generations, oldest first, with their roles.

    The active generation is served, a rollback serves the previous one, and a pinned one cannot be
    dropped.
    """
    known = opened()
    pointer = known.pointer()
    rows = [summary(known, generation, pointer) for generation in known.list()]
    if as_json:
        click.echo(json.dumps(rows))
    elif not rows:
        click.echo("no generations yet: run `mmga train`")
    else:
        click.echo("\n".join(table(rows)))


@generations.command()
@click.argument("generation_id")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def show(generation_id: str, as_json: bool) -> None:
    """Show the inputs, configuration, verdicts and evaluation of GENERATION_ID."""
    known = opened()
    shown = document(known, known.get(generation_id), known.pointer())
    click.echo(json.dumps(shown) if as_json else "\n".join(lines(shown)))


@generations.command()
@click.argument("generation_id")
@click.option(
    "--force",
    "forced_because",
    metavar="REASON",
    help="Activate a generation that did not pass its verdict, and record why.",
)
def activate(generation_id: str, forced_because: str | None) -> None:
    """Serve GENERATION_ID, after its vectors have caught up with the graph.

    Its files are compared with their checksums first. Vectors and base index that are missing or
    older than the graph are encoded again. The generation that was active becomes the previous
    one.
    """
    from training.publishing.activation import activate as make_active

    with publishing() as (stores, catch_up):
        pointer = make_active(
            stores,
            generation_id,
            catch_up,
            reason=forced_because or "activated",
            forced=forced_because is not None,
        )
    click.echo(served(pointer))


@generations.command()
@click.option(
    "--now", is_flag=True, help="Serve it at once, with the vectors that it has; then catch up."
)
@click.option("--reason", default="rolled back", show_default=True, help="Why, for the record.")
def rollback(now: bool, reason: str) -> None:
    """Serve the previous generation again, after its vectors have caught up with the graph."""
    from training.publishing.activation import roll_back

    with publishing() as (stores, catch_up):
        pointer = roll_back(stores, catch_up, reason=reason, now=now)
    click.echo(served(pointer))


@generations.command()
@click.argument("generation_id")
def pin(generation_id: str) -> None:
    """Protect GENERATION_ID from being dropped."""
    opened().get(generation_id)
    change(lambda found: found.with_pin(generation_id))
    click.echo(f"pinned {generation_id}")


@generations.command()
@click.argument("generation_id")
def unpin(generation_id: str) -> None:
    """Undo the pin of GENERATION_ID."""
    from featurestore.errors import GenerationMissing

    if generation_id not in opened().pointer().pinned:
        raise GenerationMissing(
            f"generation {generation_id} is not pinned: see `mmga generations list`"
        )
    change(lambda found: found.without_pin(generation_id))
    click.echo(f"unpinned {generation_id}")


@generations.command()
@click.argument("generation_id")
def drop(generation_id: str) -> None:
    """Delete GENERATION_ID from all stores, history included.

    The active generation, the previous one and pinned ones are refused. It cannot be undone.
    """
    from training.publishing.drop import drop as remove

    with publishing() as (stores, _):
        remove(stores, generation_id)
    click.echo(f"dropped {generation_id}")


def served(pointer: "Pointer") -> str:
    """What is served now, and what a rollback would serve."""
    before = f"; before it {pointer.previous}" if pointer.previous else ""
    return f"serving {pointer.active}{before}"


def opened() -> "Generations":
    """The generations in the state folder that the environment names."""
    from featurestore.generations.generation import Generations
    from featurestore.settings import FeatureStoreSettings

    return Generations(FeatureStoreSettings.from_environ(os.environ))


def change(what: "PointerChange") -> None:
    """Change the pointer record."""
    from featurestore.online.open import open_online_store
    from featurestore.settings import FeatureStoreSettings

    settings = FeatureStoreSettings.from_environ(os.environ)
    with closing(open_online_store(settings)) as online:
        online.change_pointer(what)


@contextmanager
def publishing() -> Iterator[tuple["Stores", "CatchUp"]]:
    """The stores that publishing writes, after what killed commands left, and how to catch up."""
    from featurestore.settings import FeatureStoreSettings
    from graphdb import open_graph
    from graphdb.settings import GraphSettings
    from training.settings import TrainingSettings

    features = FeatureStoreSettings.from_environ(os.environ)
    url = GraphSettings.from_environ(os.environ).graph_url
    settings = TrainingSettings.from_environ(os.environ)
    with closing(open_graph(url, read_only=True)) as graph:
        from training.engine.progress import ConsoleReporter
        from training.publishing.catch_up import catching_up
        from training.publishing.stores import open_stores
        from training.publishing.sweep import sweep
        from training.runs.retention import retire_snapshots

        with open_stores(graph, features, settings) as stores, ConsoleReporter() as reporter:
            sweep(stores)
            yield stores, catching_up(graph, settings, reporter)
            retire_snapshots(settings)
