"""Commands for dead letters: list, replay, drop."""

import json
import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from graphdb import open_graph
from graphdb.settings import GraphSettings
from ingest.cli import checked_settings
from ingest.dead_letters.dead_letter import DeadLetter
from ingest.dead_letters.open import all_dead_letters
from ingest.dead_letters.replay import Replay, replay_into
from ingest.dead_letters.selection import Selection, drop, name_of
from ingest.errors import DeadLetterUnknown
from ingest.ingestion import parse_start

SHOWN_NAMES = 3


@click.group()
def dead_letters() -> None:
    """List the events that could not be applied, apply them again, or drop them."""


def selecting(command: Callable[..., None]) -> Callable[..., None]:
    """The arguments that say which dead letters are meant."""
    for decorate in (
        click.option("--before", metavar="TIME", help="Only those recorded before (RFC 3339)."),
        click.option("--reason", metavar="TEXT", help="Only those whose reason contains TEXT."),
        click.option(
            "--source", help="Only those of one file, by path or name, or of one Kafka topic."
        ),
        click.argument("names", metavar="[SOURCE:PARTITION:OFFSET]...", nargs=-1),
    ):
        command = decorate(command)
    return command


@dead_letters.command("list")
@selecting
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_dead_letters(as_json: bool, **conditions: Any) -> None:
    """List each rejected event once: its source, partition and offset, and the reason."""
    settings = checked_settings()
    selection = _selection(**conditions)
    with all_dead_letters(settings) as kept:
        letters = [letter for each in kept for letter in selection.of(each.read())]
    if as_json:
        click.echo(json.dumps([letter.document() for letter in letters]))
        return
    for letter in letters:
        click.echo(f"{name_of(letter)}  {letter.reason}")
    click.echo(f"{len(letters):,} dead letters")


@dead_letters.command("replay")
@click.option("--json", "as_json", is_flag=True, help="Print the totals as one JSON document.")
def replay_dead_letters(as_json: bool) -> None:
    """Apply again the events that are no longer rejected.

    Events of files, and labels, are applied to the graph; events of Kafka are sent to their topics
    again, where `mmga ingest` reads them. An event that is still rejected stays a dead letter, and
    so does one of which only the first 256 KB were kept.
    """
    settings = checked_settings()
    url = GraphSettings.from_environ(os.environ).graph_url
    with all_dead_letters(settings) as kept, closing(open_graph(url)) as graph:
        replay = sum(
            (replay_into(each, graph, settings.media_root) for each in kept), start=Replay()
        )
    click.echo(json.dumps(asdict(replay)) if as_json else str(replay))


@dead_letters.command("drop")
@selecting
@click.option("--all", "are_all", is_flag=True, help="Drop all dead letters.")
@click.option("--dry-run", is_flag=True, help="Print how many would be dropped, and drop none.")
@click.option("--json", "as_json", is_flag=True, help="Print the totals as one JSON document.")
def drop_dead_letters(are_all: bool, dry_run: bool, as_json: bool, **conditions: Any) -> None:
    """Drop dead letters for good: those that are named, or those that meet all conditions.

    `mmga dead-letters list` with the same arguments shows them first. An ingest may be running. An
    event that is read again and still rejected is a dead letter again.
    """
    if are_all == any(conditions.values()):
        raise click.UsageError("say which dead letters: names or conditions, or else --all")
    settings = checked_settings()
    selection = _selection(**conditions)
    with all_dead_letters(settings) as kept:
        found = [(each, each.read()) for each in kept]
        _check_names(selection, [letter for _, letters in found for letter in letters])
        meant = [(each, selection.of(letters)) for each, letters in found]
        if not dry_run:
            for each, letters in meant:
                drop(each, letters)
    num_dropped = sum(len(letters) for _, letters in meant)
    num_kept = sum(len(letters) for _, letters in found) - num_dropped
    if as_json:
        click.echo(json.dumps({"num_dropped": num_dropped, "num_kept": num_kept}))
    else:
        would = "would be " if dry_run else ""
        click.echo(f"{num_dropped:,} dead letters {would}dropped, {num_kept:,} kept")


def _selection(
    names: tuple[str, ...], source: str | None, reason: str | None, before: str | None
) -> Selection:
    path = Path(source) if source else None
    return Selection(
        names=frozenset(names),
        source=str(path.resolve()) if path is not None and path.exists() else source,
        reason=reason,
        before=None if before is None else parse_start(before, "--before"),
    )


def _check_names(selection: Selection, letters: list[DeadLetter]) -> None:
    """Raise DeadLetterUnknown where one that is named does not stand."""
    unknown = sorted(selection.names - {name_of(letter) for letter in letters})
    if unknown:
        more = f" and {len(unknown) - SHOWN_NAMES:,} others" if len(unknown) > SHOWN_NAMES else ""
        raise DeadLetterUnknown(
            f"no dead letter {', '.join(unknown[:SHOWN_NAMES])}{more}: `mmga dead-letters list`"
            " names those that stand; nothing was dropped"
        )
