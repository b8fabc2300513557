"""The command line: composes the packages' commands and imports nothing heavy at start."""

import importlib
import sys
from typing import Any

import click

from foundation.errors import Interrupted
from foundation.log_lines import log_to_stderr

COMMANDS = {
    "demo": ("mmga_demo:demo", "Run the whole loop on one machine."),
    "digest": ("ingest.cli:digest", "Print a hash of the content of the graph."),
    "dead-letters": (
        "ingest.dead_letters_cli:dead_letters",
        "List the events that could not be applied, apply them again, or drop them.",
    ),
    "generations": (
        "training.cli.generations:generations",
        "List, activate, roll back, pin and drop trained generations.",
    ),
    "import": (
        "ingest.import_cli:import_crawl",
        "Make events of a folder that Instaloader has filled.",
    ),
    "ingest": ("ingest.cli:ingest", "Write events to the graph, each exactly once."),
    "labels": ("ingest.cli:labels", "Import labels of users and posts."),
    "lookup": ("serving.cli:lookup", "Print the statistics and vectors of users."),
    "publish": ("ingest.publish_cli:publish", "Send the events of a file to Kafka."),
    "serve": ("serving.cli:serve", "Serve features over HTTP."),
    "similar": ("serving.cli:similar", "Print the users most similar to a user."),
    "statistics": ("ingest.cli:statistics", "Write the statistics of users to the feature store."),
    "status": (
        "ingest.cli:status",
        "Show the graph, the progress of each stage and the active generation.",
    ),
    "topics": ("ingest.topics_cli:topics", "Create the topics of events in Kafka."),
    "train": ("training.cli.train:train", "Train, evaluate and publish user representations."),
    "upgrade": (
        "ingest.upgrade_cli:upgrade",
        "Bring the graph of an older version to the current format.",
    ),
}


EXTRAS = {
    **dict.fromkeys(("kafka", "PIL", "prometheus_client"), "ingest"),
    **dict.fromkeys(("fastapi", "jinja2", "uvicorn"), "serving"),
    **dict.fromkeys(("httpcore", "jaxtyping", "ray", "scipy", "sklearn", "tenacity"), "training"),
    **dict.fromkeys(("tensorboardX", "threadpoolctl", "tokenizers", "torch"), "training"),
    **dict.fromkeys(("torch_geometric", "transformers"), "training"),
    **dict.fromkeys(("hiredis", "mmh3", "redis"), "redis"),
    "mlflow": "mlflow",
    "neo4j": "neo4j",
    "psycopg": "postgres",
}
"""The extra of this project that brings a module, as pyproject.toml has it."""

PACKAGES = frozenset({"featurestore", "foundation", "graphdb", "ingest", "serving", "training"})
"""Packages of this project: messages of their errors name the thing, the value and the remedy."""


class LazyGroup(click.Group):
    """A group that imports a command when it is called, so that `mmga --help` is instant."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All command names, without importing any of them."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of one command."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name][0].split(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, from the table above."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])


@click.group(cls=LazyGroup)
@click.option("--debug", is_flag=True, help="Show debug logs, and tracebacks of errors.")
@click.version_option(package_name="mmga")
@click.pass_context
def cli(ctx: click.Context, debug: bool) -> None:
    """Social events to graph, features and user representations."""
    ctx.obj = {"debug": debug}
    log_to_stderr(debug=debug)


def main(arguments: list[str] | None = None) -> Any:
    """Run one command; an error is one line on stderr and exit status 1."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        cli.main(args=arguments, prog_name="mmga", standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(130)
    except Interrupted as stop:
        click.echo(one_line(stop), err=True)
        sys.exit(stop.exit_status)
    except Exception as error:
        if "--debug" in arguments:
            raise
        click.echo(f"error: {one_line(error)}", err=True)
        sys.exit(1)


def one_line(error: Exception) -> str:
    """The message of an error on one line, with its type where it is not one of ours."""
    missing = (error.name or "") if isinstance(error, ModuleNotFoundError) else ""
    if extra := EXTRAS.get(missing.partition(".")[0]):
        return (
            f'the module {missing} is not installed: run `pip install ".[{extra}]"` in the checkout'
        )
    text = " ".join(str(error).split())
    module = type(error).__module__.partition(".")[0]
    if module in PACKAGES and text:
        return text
    return f"{type(error).__name__}: {text} (run `mmga --debug …` for the traceback)"


if __name__ == "__main__":
    main()
