"""The commands that read features: `mmga lookup`, `mmga similar`, `mmga serve`."""

import os

import click

from serving.settings import ServingSettings


@click.command()
@click.argument("user_ids", metavar="USER...", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON with the full vectors.")
@click.option(
    "--max-staleness",
    type=float,
    metavar="SECONDS",
    help="Leave out features that may miss changes older than this.",
)
def lookup(user_ids: tuple[str, ...], as_json: bool, max_staleness: float | None) -> None:
    """Print the statistics and vectors of users from the online store.

    All vectors come from the active generation: the published training run that is served now.
    If a user is not in the online store, the command prints the others and exits with status 1.
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
            "check the id, or see with `mmga status` whether the statistics are up to date"
        )


@click.command()
@click.argument("user_id", metavar="USER")
@click.option(
    "--k", "-k", type=int, default=10, show_default=True, help="Number of users to print."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def similar(user_id: str, k: int, as_json: bool) -> None:
    """Print the users most similar to USER, the most similar first.

    Similarity is the cosine between the vectors of two users in the active generation: the
    published training run that is served now.
    """
    from serving.encoding import json_bytes
    from serving.report import similar_report
    from serving.services import open_services

    with open_services(settings()) as services:
        answer = services.similar.nearest(user_id, k)
    click.echo(json_bytes(answer) if as_json else similar_report(answer))


@click.command()
@click.option("--host", show_default="MMGA_HOST, else 127.0.0.1", help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    show_default="MMGA_PORT, else 8000",
    help="Port to listen on; 0 picks a free one.",
)
def serve(host: str | None, port: int | None) -> None:
    """Serve features over HTTP, until SIGTERM or Ctrl-C.

    The API has no authentication: anyone who can reach the address can read all features. By
    default only this machine can. `/` is a web page, `/openapi.json` describes the API.
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
            active = services.online.pointer().active
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
