"""The command that brings what an older version has written to the current formats."""

import os

import click

from foundation.url import without_secrets
from graphdb import upgrade_graph
from graphdb.settings import GraphSettings
from graphdb.stage import StageLock

STAGE = "ingest"


@click.command()
def upgrade() -> None:
    """Bring the graph that an older version has written to the current format.

    End all other commands that use the graph before. Interrupted at any moment, the same command
    goes on. A graph of the current format stays as it is.
    """
    settings = GraphSettings.from_environ(os.environ)
    name, version = without_secrets(settings.graph_url), None
    with StageLock(settings.home, STAGE):
        for version in upgrade_graph(settings.graph_url):
            click.echo(f"graph {name}: now of format {version}")
    if version is None:
        click.echo(f"graph {name}: nothing to upgrade")
