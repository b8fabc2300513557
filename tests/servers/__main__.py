"""Starts all servers on loopback and keeps them up until a signal comes (`make services`).

Prints what to export, so that commands and tests use them. Their data stay in the folder, but
for the registry's, which `mmga` makes anew.
"""

import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import mkdtemp

from tests.servers import start_kafka, start_neo4j, start_postgres, start_redis
from tests.servers.server import Server, ServerMissing, free_port

Start = Callable[[Path, int], Server]
SERVERS: dict[str, tuple[int, str, Start]] = {
    "NEO4J": (7687, "MMGA_GRAPH_URL", lambda folder, port: start_neo4j(folder, port=port)),
    "KAFKA": (9092, "MMGA_EVENTS_URL", lambda folder, port: start_kafka(folder, port=port)),
    "REDIS": (6379, "MMGA_ONLINE_STORE_URL", lambda folder, port: start_redis(folder, port=port)),
    "POSTGRES": (
        5432,
        "MMGA_REGISTRY_URL",
        lambda _, port: start_postgres(_temporary(), port=port),
    ),
}


def main(folder: Path) -> int:
    """Start them one after the other, in ports that their users expect where those are free."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        with ExitStack() as running:
            for name, (port, variable, start) in SERVERS.items():
                server = start(folder.absolute() / name.lower(), free_port(port))
                running.callback(server.stop)
                print(f"# {server.name} {server.version}")
                print(
                    f"export MMGA_TEST_{name}_URL={server.url} {variable}={server.url}", flush=True
                )
            print("# all are up; Ctrl-C ends them", flush=True)
            signal.pause()
    except ServerMissing as missing:
        print(f"error: {missing}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("# all are stopped")
    return 0


def _temporary() -> Path:
    """A folder that PostgreSQL's own user can come to."""
    return Path(mkdtemp(prefix="mmga-postgres-"))


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".services")))
