"""Commands that read features: `mmga lookup`, `mmga similar`, `mmga serve`."""

import os

import click

from serving.settings import ServingSettings


@click.command()
@click.argument("user_ids", metavar="USER...", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, vectors in full.")
@click.option(
    "--max-staleness",
    type=float,
    metavar="SECONDS",
    help="Withhold features that may lack a change older than this.",
)
def lookup(user_ids: tuple[str, ...], as_json: bool, max_staleness: float | None) -> None:
    """Print the online features of users.

    All vectors are of the active generation. A user that has no features at all makes the
    command fail, after the others are printed.
    """
    from serving.encoding import json_bytes
    from serving.errors import UserUnknown
    from serving.identifiers import shown
    from serving.report import user_report
    from serving.services import open_services

    with open_services(settings()) as services:
        answer = services.lookup.users(user_ids, max_staleness=max_staleness)
    if as_json:
        click.echo(json_bytes(answer))
    elif answer.users:
        click.echo("\n\n".join(user_report(user) for user in answer.users))
    if answer.unknown:
        raise UserUnknown(
            f"not in the online store: {', '.join(shown(user_id) for user_id in answer.unknown)}; "
            "`mmga status` tells how far the statistics have come"
        )


@click.command()
@click.argument("user_id", metavar="USER")
@click.option("--k", "-k", type=int, default=10, show_default=True, help="How many users.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def similar(user_id: str, k: int, as_json: bool) -> None:
    """Print the users most similar to one, by cosine, nearest first."""
    from serving.encoding import json_bytes
    from serving.report import similar_report
    from serving.services import open_services

    with open_services(settings()) as services:
        answer = services.similar.nearest(user_id, k)
    click.echo(json_bytes(answer) if as_json else similar_report(answer))


@click.command()
@click.option("--host", show_default="MMGA_HOST, else 127.0.0.1", help="Listen here.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    show_default="MMGA_PORT, else 8000",
    help="Listen on this port; 0 takes a free one.",
)
def serve(host: str | None, port: int | None) -> None:
    """Answer lookups over HTTP until stopped (SIGTERM or Ctrl-C).

    The API is open to whoever reaches the address: it is this machine alone unless --host says
    otherwise. A page for people is at `/`, the API's description at `/openapi.json`.
    """
    from serving.services import open_services

    serving_settings = settings()
    host = serving_settings.host if host is None else host
    port = serving_settings.port if port is None else port
    with open_services(serving_settings) as services:
        from serving.app import create_app
        from serving.server import address_of, listen
        from serving.server import serve as answer_requests

        with listen(host, port) as listener:
            active = services.online.active_generation()
            click.echo(
                f"serving {f'generation {active}' if active else 'statistics (no generation yet)'} "
                f"on {address_of(listener)} (stop with Ctrl-C)",
                err=True,
            )
            app = create_app(services, serving_settings)
            answer_requests(app, listener, shutdown_seconds=serving_settings.shutdown_seconds)


def settings() -> ServingSettings:
    """Settings of this process's environment."""
    return ServingSettings.from_environ(os.environ)
