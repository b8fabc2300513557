"""Our services as compose.yaml starts them, on real servers: from an event to a vector over HTTP.

Each runs by its literal entrypoint, command, environment and health check, with an environment of
compose.yaml and .env.example alone; a person's part is to set the empty passwords, and a project of
its own. The commands are those of docs/deployment.md.
"""

import json
import re
import shlex
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import numpy as np
import pytest

from ingest.events.decoding import decode
from ingest.kafka.publisher import route
from ingest.synthetic import write_synthetic_network
from tests.compose.compose_file import ROOT, document, env_example
from tests.compose.services import Services
from tests.compose.test_monitoring import exported, queries
from tests.graphdb.neo4j_database import TestDatabase
from tests.servers.server import Server, free_port
from training.mmga.recipes import tiny

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

READ_SECONDS = 120.0
INGEST, SERVING = "127.0.0.1:9464", "127.0.0.1:8000"
STATUS = ["mmga", "status", "--json"]
PRINT_ADDRESS = """
import ray
from training.engine.ray_cluster import ray_session
with ray_session(1):
    print(ray.get_runtime_context().gcs_address)
"""


@dataclass(kw_only=True)
class Walk:
    """What the commands printed, by their word, and the state when all events were read."""

    services: Services
    events: list[bytes]
    printed: dict[str, str] = field(default_factory=dict)
    status: dict[str, Any] = field(default_factory=dict)

    @property
    def generation(self) -> str:
        """The one that training said it published."""
        (name,) = re.findall(
            r"^generation (\w+) of 60 users is active", self.printed["train"], re.M
        )
        return str(name)

    def user(self) -> dict[str, Any]:
        """What the last command, a lookup over HTTP, printed."""
        found: dict[str, Any] = json.loads(self.printed["curl"])
        return found


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Where a person stands; short, for sockets lie below it."""
    made = Path(mkdtemp(prefix="mmga-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="module")
def services(
    folder: Path,
    neo4j_server: Server,
    kafka_server: Server,
    redis_server: Server,
    postgres_server: Server,
) -> Iterator[Services]:
    servers = {
        "NEO4J_PASSWORD": neo4j_server,
        "REDIS_PASSWORD": redis_server,
        "POSTGRES_PASSWORD": postgres_server,
    }
    example = env_example()
    secrets = {name: uuid4().hex for name in example.secrets}
    secrets |= {name: urlsplit(s.url).password or "trust" for name, s in servers.items()}
    project = {"MMGA_PROJECT": f"compose_{uuid4().hex[:8]}"}
    TestDatabase(neo4j_server.url).empty()
    services = Services(
        services=document({**example.values, **secrets, **project})["services"],
        addresses={
            "kafka:9092": f"{kafka_server.host}:{kafka_server.port}",
            "neo4j:7687": f"{neo4j_server.host}:{neo4j_server.port}",
            "redis:6379": f"{redis_server.host}:{redis_server.port}",
            "postgres:5432": f"{postgres_server.host}:{postgres_server.port}",
        },
        ports={9464: free_port(), 8000: free_port(), 6380: free_port()},
        mounts={"/tmp": folder / "tmp", "state": folder / "state"},
        folder=folder,
    )
    for path in services.mounts.values():
        path.mkdir()
    yield services
    services.stop()


@pytest.fixture(scope="module")
def walk(services: Services, folder: Path) -> Walk:
    """All commands of `Start`, in their order."""
    network = write_synthetic_network(
        folder / "media", num_users=60, num_topics=2, posts_per_user=2.0
    )
    # Those that can be sent, valid or not: bad events of other kinds have tests of their own.
    events = [line for line in network.events.read_bytes().splitlines() if route(line)]
    (folder / "events.jsonl").write_bytes(b"\n".join(events) + b"\n")
    walk = Walk(services=services, events=events)
    for words in start_commands():
        name = next(word for word in ("publish", "status", "train", *words) if word in words)
        walk.printed[name] = given(services, words)
        if name == "publish":
            walk.status = wait_until_read(services)
    return walk


def start_commands() -> list[list[str]]:
    """The words of each command under `Start` of docs/deployment.md."""
    text = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    block = re.search(r"^## Start\n.*?^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert block
    return [shlex.split(line, comments=True) for line in block[1].splitlines()]


def given(services: Services, words: list[str]) -> str:
    """What a command prints that is given to the services."""
    match words:
        case ["cp", ".env.example", ".env"]:  # the services were made of it
            return ""
        case ["docker", "compose", "up", "--detach", "--wait"]:
            services.up()
            return ""
        case ["docker", "compose", "run", "--rm", "--volume", volume, name, *command]:
            return services.run(name, command, [volume])
        case ["docker", "compose", "exec", name, *command]:
            return services.execute(name, command)
        case ["curl", url]:
            return httpx.get(services.here(url)).raise_for_status().text
    raise AssertionError(f"this command is not known here: {shlex.join(words)}")


def wait_until_read(services: Services) -> dict[str, Any]:
    """The status once nothing is left to be read, and the statistics have followed.

    Neo4j shows a commit piece by piece while it is applied: counts lag positions for a moment.
    """
    end = time.monotonic() + READ_SECONDS
    while True:
        status: dict[str, Any] = json.loads(services.execute("ingest", STATUS))
        stages = status["stages"]
        if stages["ingest"]["lag_messages"] == 0 and (
            stages["statistics"]["watermark"] == status["graph"]["version"] > 0
        ):
            return status
        assert time.monotonic() < end, (status, services.printed("ingest"))


def scraped(services: Services, address: str) -> str:
    """What a container exports."""
    return httpx.get(services.here(f"http://{address}/metrics")).text


class TestStart:
    def test_all_events_are_in_the_graph(self, walk: Walk) -> None:
        assert walk.printed["publish"].startswith(f"{len(walk.events):,} events sent")
        assert walk.status["graph"]["users"] == 60
        assert walk.status["graph"]["follows"] > 500
        assert walk.status["graph"]["version"] > 0

    def test_those_that_are_not_valid_are_dead_letters(self, walk: Walk) -> None:
        number = len(decode(walk.events, time.time_ns() // 1_000).rejected)
        assert walk.status["dead_letters"] == number > 5
        listed = walk.services.execute("ingest", ["mmga", "dead-letters", "list"])
        assert f"{number} dead letters" in listed

    def test_a_vector_of_the_new_generation_is_read_over_http(self, walk: Walk) -> None:
        user = walk.user()
        assert user["generation"] == walk.generation
        vector = np.array(user["graph"])
        assert vector.shape == (tiny().graph.width,)
        assert np.isfinite(vector).all()
        assert vector.any()

    def test_statistics_are_read_over_http(self, walk: Walk) -> None:
        assert walk.user()["statistics"]["num_posts"] >= 0

    def test_training_ran_on_the_ray_head(self, walk: Walk) -> None:
        (run,) = walk.services.mounts["state"].glob("checkpoints/*/run.json")
        assert walk.generation.removeprefix("g") in run.parent.name
        sessions = list((walk.services.mounts["/tmp"] / "ray").glob("session_2*"))
        assert len(sessions) == 1  # the head's own, and none of the command's

    def test_the_dashboard_finds_its_metrics(self, walk: Walk) -> None:
        found = exported(scraped(walk.services, INGEST) + scraped(walk.services, SERVING))
        assert set(re.findall(r"\bmmga_\w+", " ".join(queries()))) <= set(found)

    def test_ingest_counted_each_event_once(self, walk: Walk) -> None:
        metrics = scraped(walk.services, INGEST)
        counted = re.findall(r"^mmga_ingest_events_total\{.*\} (\S+)$", metrics, re.MULTILINE)
        assert sum(map(float, counted)) == len(walk.events)
        assert "\nmmga_ingest_lag 0.0\n" in metrics

    def test_a_wrong_token_may_not_train(self, walk: Walk) -> None:
        environment = walk.services.services["trainer"]["environment"]
        given = environment["RAY_AUTH_TOKEN"]
        assert walk.services.is_healthy("trainer")
        environment["RAY_AUTH_TOKEN"] = uuid4().hex
        try:
            assert not walk.services.is_healthy("trainer")
        finally:
            environment["RAY_AUTH_TOKEN"] = given

    def test_without_an_address_a_ray_of_its_own_is_started(self, walk: Walk) -> None:
        environment = walk.services.services["trainer"]["environment"]
        head = environment.pop("RAY_ADDRESS")
        try:
            address = walk.services.execute("trainer", ["python", "-c", PRINT_ADDRESS])
        finally:
            environment["RAY_ADDRESS"] = head
        port = walk.services.ports[int(head.rpartition(":")[2])]
        assert int(address.rpartition(":")[2]) != port

    def test_topics_are_made_once(self, walk: Walk) -> None:
        again = walk.services.run("topics", ["topics", "--partitions", "3"])
        assert again.count("was there") == 3
        assert "was there" not in walk.services.printed("topics")

    def test_nothing_shows_a_password(self, walk: Walk) -> None:
        logins = re.findall(r"://[^/@]*:[^/@]+@", json.dumps(walk.services.services))
        shown = list(map(walk.services.printed, walk.services.processes))
        shown += walk.printed.values()
        assert logins
        assert not [login for login in logins for text in shown if login in text]


class TestEnd:
    """The last tests of this module: the services end here."""

    def test_all_end_in_time_when_told(self, walk: Walk) -> None:
        statuses = walk.services.stop()
        assert statuses.pop("trainer") in {0, 1}  # Ray's own, which tells of the signal
        assert statuses == {"ingest": 0, "serving": 0}
