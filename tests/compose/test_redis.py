"""Redis starts by the command that compose.yaml gives it, and its health check tells how it is."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.compose.compose_file import document, with_secrets
from tests.servers import Server, ServerMissing, redis, start_redis

SERVICE: dict[str, Any] = document(with_secrets(redis.PASSWORD))["services"]["redis"]


def started(folder: Path, **settings: str) -> Server:
    """A server of our own; its absence is a failure where servers are required."""
    try:
        return start_redis(folder, **settings)
    except ServerMissing as missing:
        if os.environ.get("MMGA_REQUIRE_SERVERS") == "1":
            pytest.fail(str(missing), pytrace=False)
        pytest.skip(str(missing))


@pytest.mark.slow
@pytest.mark.servers(redis.NAME)
def test_redis_takes_its_command_and_is_healthy_until_it_ends(tmp_path: Path) -> None:
    program, *words = (str(tmp_path) if word == "/data" else word for word in SERVICE["command"])
    assert program == "redis-server"
    given = {
        name.removeprefix("--").replace("-", "_"): value
        for name, value in zip(words[::2], words[1::2], strict=True)
    }
    server = started(tmp_path, **given)
    try:
        with Redis.from_url(server.url) as client:
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
            assert client.config_get("maxmemory") == {"maxmemory": str(1 << 30)}
            assert client.config_get("dir") == {"dir": str(tmp_path)}
        assert is_healthy(server.port)
        server.kill()
        assert not is_healthy(server.port)
    finally:
        server.stop()


def is_healthy(port: int) -> bool:
    """Whether the check passes, its program given this port."""
    kind, check = SERVICE["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    done = subprocess.run(
        ["sh", "-c", check.replace("redis-cli", f"redis-cli -p {port}")],
        env={**os.environ, **SERVICE["environment"]},
        capture_output=True,
        check=False,
        timeout=30,
    )
    return done.returncode == 0
