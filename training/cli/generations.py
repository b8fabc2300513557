"""The commands on generations. `list` and `show` only read; `republish` writes vectors online."""

import json
import os
from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from foundation.text_table import text_table

if TYPE_CHECKING:
    from featurestore.generations.generation import Generation, Generations


@click.group()
def generations() -> None:
    """List, show and republish generations (published training runs)."""


@generations.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_generations(as_json: bool) -> None:
    """List all generations, oldest first.

    An asterisk marks the active generation, the one that is served.
    """
    known = opened()
    active = known.pointer().active
    rows = [summary(generation, active) for generation in known.list()]
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
    """Show the inputs, configuration and evaluation of GENERATION_ID."""
    known = opened()
    generation = known.get(generation_id)
    active = known.pointer().active
    manifest = dict(generation.manifest) | {"evaluation": evaluation(generation)}
    manifest |= {"is_active": generation.id == active, "path": str(generation.path)}
    if as_json:
        click.echo(json.dumps(manifest))
    else:
        click.echo("\n".join(lines(manifest)))


@generations.command()
@click.argument("generation_id")
def republish(generation_id: str) -> None:
    """Restore the vectors of GENERATION_ID in the online store and activate it.

    The vectors are read from the feature history. Use this after the online store has lost them.
    """
    from featurestore.settings import FeatureStoreSettings
    from graphdb import open_graph
    from graphdb.settings import GraphSettings

    settings = FeatureStoreSettings.from_environ(os.environ)
    url = GraphSettings.from_environ(os.environ).graph_url
    from training.publishing.republish import republish as write_again

    with closing(open_graph(url, read_only=True)) as graph:
        num_users = write_again(generation_id, graph, settings)
    click.echo(f"restored and activated {generation_id}: vectors of {num_users:,} users")


def opened() -> "Generations":
    """The generations in the state folder that the environment names."""
    from featurestore.generations.generation import Generations
    from featurestore.settings import FeatureStoreSettings

    return Generations(FeatureStoreSettings.from_environ(os.environ))


def summary(generation: "Generation", active: str | None) -> dict[str, Any]:
    """The columns of one generation in the list."""
    manifest = generation.manifest
    return {
        "id": generation.id,
        "is_active": generation.id == active,
        "status": manifest.get("status"),
        "recipe": manifest.get("recipe"),
        "seed": manifest.get("seed"),
        "num_users": manifest["num_users"],
        "graph_version": manifest["graph_version"],
        "created_at": manifest["created_at"],
    }


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Summaries as aligned lines."""
    columns = ("id", "status", "recipe", "seed", "num_users", "graph_version", "created_at")
    cells = [("", *(column.replace("_", " ") for column in columns))]
    cells += [("*" if row["is_active"] else "", *(str(row[c]) for c in columns)) for row in rows]
    return text_table(cells) + (["* active"] if any(row["is_active"] for row in rows) else [])


def evaluation(generation: "Generation") -> Any:
    """The evaluation, or None."""
    path = generation.path / "evaluation.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def lines(manifest: Mapping[str, Any]) -> list[str]:
    """A manifest as text: plain values first, then the metrics of the evaluation."""
    plain = {
        key: value
        for key, value in manifest.items()
        if key not in {"evaluation", "checksums", "sound", "losses"}
    }
    shown = text_table([(key, in_words(value)) for key, value in sorted(plain.items())])
    reasons = (manifest.get("sound") or {}).get("reasons") or []
    shown += [f"not sound: {reason}" for reason in reasons]
    figures = (manifest.get("evaluation") or {}).get("figures") or []
    if figures:
        shown += ["", "evaluation (trained; at initial weights; best baseline)"]
    shown += [f"  {figure_in_words(figure)}" for figure in figures]
    return shown


def in_words(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {in_words(each)}" for key, each in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def figure_in_words(figure: Mapping[str, Any]) -> str:
    """One metric of an evaluation on one line."""
    baseline = "no baseline"
    if figure["baseline"] is not None:
        baseline = f"{figure['baseline']:.3f} ({figure['baseline_name']})"
    name = f"{figure['task']}, {figure['method']}, {figure['metric'].replace('_', ' ')}"
    return f"{name}: {figure['trained']:.3f}; {figure['initial']:.3f}; {baseline}"
