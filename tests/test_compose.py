"""compose.yaml names commands and options that exist."""

from pathlib import Path

import click
import pytest
import yaml

import mmga

SERVICES = yaml.safe_load((Path(__file__).parents[1] / "compose.yaml").read_text())["services"]


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_runs_a_command_of_ours_with_options_it_has(service: str) -> None:
    name, *arguments = SERVICES[service]["command"]
    command = mmga.cli.get_command(click.Context(mmga.cli), name)
    assert command is not None
    context = command.make_context(name, arguments, resilient_parsing=False)
    assert not context.args
