"""PostgreSQL, from the system's package."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.servers.server import LOOPBACK, Program, Server, ServerMissing, free_port

NAME = "PostgreSQL"
USER = "mmga"
SYSTEM_USER = "postgres"


def start_postgres(folder: Path, *, port: int = 0) -> Server:
    """Start a server of its own, with an empty database `mmga`. Raises ServerMissing.

    PostgreSQL refuses to run as root: then the package's own user runs it, who must be able to come
    to `folder`.
    """
    programs = _programs()
    user = SYSTEM_USER if os.geteuid() == 0 else None
    folder.mkdir(parents=True, exist_ok=True)
    if user is not None:
        shutil.chown(folder, user, user)
    port = port or free_port()
    data = folder / "data"
    if not data.exists():
        subprocess.run(
            [str(programs / "initdb"), "-D", str(data), "-U", USER, "-A", "trust", "-E", "UTF8"],
            check=True, capture_output=True, user=user, cwd=folder, timeout=120,
        )  # fmt: skip
    command = [
        str(programs / "postgres"), "-D", str(data), "-p", str(port),
        "-c", f"listen_addresses={LOOPBACK}", "-c", f"unix_socket_directories={folder}",
    ]  # fmt: skip
    server = Server(
        NAME,
        f"postgresql://{USER}@{LOOPBACK}:{port}/mmga",
        ask_version,
        program=Program(command=command, folder=folder, user=user),
    )
    return server.start()


def ask_version(url: str) -> str:
    """The version that the server names; makes the database where it is a new server."""
    import psycopg

    with psycopg.connect(url.rsplit("/", 1)[0] + "/postgres", autocommit=True) as connection:
        database = url.rsplit("/", 1)[1]
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database])
        if found.fetchone() is None:
            connection.execute(f'CREATE DATABASE "{database}"')
        row = connection.execute("SHOW server_version").fetchone()
    assert row is not None
    return str(row[0]).split()[0]


def _programs() -> Path:
    """The folder of `initdb` and `postgres`: Debian keeps it off the path."""
    on_path = shutil.which("initdb")
    found = [Path(on_path).parent] if on_path else []
    found += sorted(each.parent for each in Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        raise ServerMissing("PostgreSQL is not installed: apt-get install postgresql")
    return found[-1]
