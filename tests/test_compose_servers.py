"""The servers take the configuration that compose.yaml gives them.

Their images are not run here: their environment is made settings of (`KAFKA_LOG_DIRS` is
`log.dirs`) as their images document it, and the servers' own programs are started with these.
"""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.compose.composefile import document, env_example
from tests.servers import ServerMissing, kafka, neo4j, redis, start_kafka, start_neo4j, start_redis
from tests.servers.server import LOOPBACK, free_port

pytestmark = pytest.mark.slow

VARIABLES = {**env_example().values, **dict.fromkeys(env_example().secrets, redis.PASSWORD)}
SERVICES: dict[str, dict[str, Any]] = document(VARIABLES)["services"]


def required(start: Any, *arguments: Any, **settings: Any) -> Any:
    """A server of our own; what cannot be had is a failure where servers are required."""
    try:
        return start(*arguments, **settings)
    except ServerMissing as missing:
        if os.environ.get("MMGA_REQUIRE_SERVERS") == "1":
            pytest.fail(str(missing), pytrace=False)
        pytest.skip(str(missing))


@pytest.mark.servers(redis.NAME)
def test_redis(tmp_path: Path) -> None:
    service = SERVICES["redis"]
    program, *words = (str(tmp_path) if word == "/data" else word for word in service["command"])
    assert program == "redis-server"
    given = {
        name.removeprefix("--").replace("-", "_"): value
        for name, value in zip(words[::2], words[1::2], strict=True)
    }
    server = required(start_redis, tmp_path, **given)
    try:
        with Redis.from_url(server.url) as client:
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
            assert client.config_get("maxmemory") == {"maxmemory": str(1 << 30)}
            assert client.config_get("dir") == {"dir": str(tmp_path)}
        assert is_healthy(service, "redis-cli", server.port)
        server.kill()
        assert not is_healthy(service, "redis-cli", server.port)
    finally:
        server.stop()


def is_healthy(service: dict[str, Any], program: str, port: int) -> bool:
    """Whether the check passes, its program led to this port."""
    kind, check = service["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    done = subprocess.run(
        ["sh", "-c", check.replace(program, f"{program} -p {port}")],
        env={**os.environ, **service["environment"]},
        capture_output=True,
        check=False,
        timeout=30,
    )
    return done.returncode == 0


@pytest.mark.servers(kafka.NAME)
def test_kafka(tmp_path: Path) -> None:
    ports = {inside: free_port() for inside in (9092, 9093, 9094)}
    properties = {
        name.removeprefix("KAFKA_").lower().replace("_", "."): here(value, ports)
        for name, value in SERVICES["kafka"]["environment"].items()
        if name not in {"KAFKA_HEAP_OPTS", "KAFKA_LOG_DIRS"}
    }
    assert keys(kafka.CONFIGURATION) - set(properties) == {"log.dirs", *CONVENIENT}
    server = required(start_kafka, tmp_path, port=ports[9094], settings=lines(properties))
    try:
        assert SERVICES["kafka"]["image"] == f"apache/kafka:{kafka.VERSION}"
        assert kafka.ask_version(f"kafka://{LOOPBACK}:{ports[9092]}")
        printed = server.log.read_text()
        assert not re.findall(r"unknown config|isn't a known config", printed, re.IGNORECASE)
    finally:
        server.kill()


def here(value: str, ports: dict[int, int]) -> str:
    """The value with ports of this machine."""
    for inside, port in ports.items():
        value = re.sub(rf":{inside}\b", f":{port}", value)
    return value.replace("kafka:", f"{LOOPBACK}:").replace("://:", f"://{LOOPBACK}:")


@pytest.mark.servers(neo4j.NAME)
def test_neo4j(tmp_path: Path) -> None:
    settings = {
        name.removeprefix("NEO4J_").replace("__", "\0").replace("_", ".").replace("\0", "_"): value
        for name, value in SERVICES["neo4j"]["environment"].items()
        if name != "NEO4J_AUTH"
    }
    known = keys(neo4j.CONFIGURATION)  # a setting may stand once
    more = {name: value for name, value in settings.items() if name not in known}
    assert set(settings) - set(more) >= {"server.memory.pagecache.size"}
    server = required(start_neo4j, tmp_path, settings=lines(more))  # refuses what it does not know
    assert server.version.startswith(SERVICES["neo4j"]["image"].split(":")[1].split("-")[0])
    server.kill()


CONVENIENT = {
    "offsets.topic.num.partitions",
    "group.initial.rebalance.delay.ms",
    "log.retention.check.interval.ms",
}
"""What makes a broker of tests quicker."""


def keys(configuration: str) -> set[str]:
    """The names of a file of `name=value`."""
    return {line.split("=")[0] for line in configuration.splitlines() if "=" in line}


def lines(settings: dict[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in settings.items())
