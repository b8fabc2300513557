"""Redis, from the system's package."""

import shutil
from pathlib import Path

from tests.servers.server import LOOPBACK, Program, Server, ServerMissing, free_port

NAME = "Redis"
PASSWORD = "password"


def start_redis(folder: Path, *, port: int = 0, **settings: str) -> Server:
    """Start a server of its own that keeps what it acknowledged; `settings` are its options.

    Raises ServerMissing.
    """
    program = shutil.which("redis-server")
    if program is None:
        raise ServerMissing("Redis is not installed: apt-get install redis-server")
    folder.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    options = {
        "port": str(port),
        "bind": LOOPBACK,
        "dir": str(folder),
        "requirepass": PASSWORD,
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        **{name.replace("_", "-"): value for name, value in settings.items()},
    }
    command = [program, *(word for name, value in options.items() for word in (f"--{name}", value))]
    url = f"redis://:{PASSWORD}@{LOOPBACK}:{port}/0"
    return Server(NAME, url, ask_version, program=Program(command=command, folder=folder)).start()


def ask_version(url: str) -> str:
    """The version that the server names."""
    from redis import Redis

    with Redis.from_url(url, socket_timeout=5) as client:
        return str(client.info("server")["redis_version"])
