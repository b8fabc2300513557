import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from featurestore.feast_adapter.registry import FeatureRegistry
from graphdb.statistics import STATISTICS
from tests.serving.conftest import USERS
from tests.serving.published import COMPUTED_AT, DIMS, Home, random_vectors

SERVE = [sys.executable, "-m", "mmga", "serve", "--port", "0"]


def start(home: Path, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*SERVE, *arguments],
        env={**os.environ, "MMGA_HOME": str(home)},
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def serving(home: Path) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """`mmga serve` on a free port, and its address once it answers."""
    process = start(home)
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert " on http://127.0.0.1:" in line, line
        address = line.partition(" on ")[2].split()[0]
        wait_until_alive(address)
        yield process, address
    finally:
        process.kill()
        process.communicate()


def wait_until_alive(address: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{address}/healthz").status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.02)
    raise AssertionError(f"{address} does not answer")


def wait_until_refused(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            return
        time.sleep(0.02)
    raise AssertionError(f"port {port} still takes connections")


class TestServe:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_stops_when_told_and_succeeds(self, home: Home, number: signal.Signals) -> None:
        with serving(home.path) as (process, address):
            with httpx.Client() as client:
                assert client.get(f"{address}/v1/users/ann").status_code == 200
            process.send_signal(number)
            _, errors = process.communicate(timeout=20)
            assert process.returncode == 0
            assert "Traceback" not in errors

    def test_stops_when_told_before_it_answers(self, home: Home) -> None:
        process = start(home.path)
        assert process.stderr is not None
        process.stderr.readline()
        process.terminate()
        _, errors = process.communicate(timeout=20)
        assert "Traceback" not in errors
        assert process.returncode in {0, -signal.SIGTERM}

    def test_a_request_in_flight_is_answered(self, home: Home) -> None:
        body = json.dumps({"user_ids": USERS}).encode()
        head = f"POST /v1/users HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        with serving(home.path) as (process, address):
            port = int(address.rpartition(":")[2])
            with closing(socket.create_connection(("127.0.0.1", port))) as connection:
                connection.sendall(head.encode() + body[:5])
                assert httpx.get(f"{address}/healthz").status_code == 200  # the head has arrived
                process.terminate()
                wait_until_refused(port)
                connection.sendall(body[5:])
                assert connection.recv(100).startswith(b"HTTP/1.1 200 OK")
            process.communicate(timeout=20)
        assert process.returncode == 0

    def test_a_taken_port_is_one_line(self, home: Home) -> None:
        with closing(socket.socket()) as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            process = start(home.path, "--port", str(port))
            _, errors = process.communicate(timeout=30)
        assert process.returncode == 1
        assert errors.startswith(f"error: cannot listen on 127.0.0.1 port {port} (")
        assert errors.count("\n") == 1
        assert "--port" in errors

    @pytest.mark.parametrize("host", ["no such host", "192.0.2.1"])
    def test_an_address_that_is_not_ours_is_one_line(self, home: Home, host: str) -> None:
        process = start(home.path, "--host", host)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 1
        assert errors.startswith(f"error: cannot listen on {host}")
        assert errors.count("\n") == 1

    def test_without_a_store_is_one_line(self, tmp_path: Path) -> None:
        process = start(tmp_path / "nothing")
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 1
        assert errors.startswith("error: ")
        assert errors.count("\n") == 1
        assert not (tmp_path / "nothing").exists()

    def test_listens_on_this_machine_alone(self, home: Home) -> None:
        with serving(home.path) as (process, address):
            port = int(address.rpartition(":")[2])
            listening = Path(f"/proc/{process.pid}/net/tcp").read_text(encoding="ascii")
            local = [line.split()[1] for line in listening.splitlines()[1:]]
            assert f"0100007F:{port:04X}" in local
            assert f"00000000:{port:04X}" not in local


class TestStart:
    def test_imports_nothing_heavy(self, home: Home) -> None:
        script = """
import os, sys
from serving.app import create_app
from serving.cli import serve, lookup, similar
from serving.server import listen
from serving.services import open_services
from serving.settings import ServingSettings
settings = ServingSettings.from_environ(os.environ)
with open_services(settings) as services:
    create_app(services, settings)
    services.lookup.users(["ann", "zoe"])
    services.similar.nearest("ann", 3)
heavy = {"torch", "ray", "feast", "pandas", "pyarrow", "transformers", "sklearn", "neo4j", "kafka"}
print(sorted(heavy & set(sys.modules)))
"""
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "MMGA_HOME": str(home.path)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == "[]\n"

    def test_writes_nothing(self, home: Home) -> None:
        def files() -> dict[str, bytes]:
            return {
                str(path): path.read_bytes()
                for path in home.path.rglob("*")
                if path.is_file() and not path.name.endswith("-shm")
            }

        before = files()
        with serving(home.path) as (_, address):
            for path in ("/v1/users/ann", "/v1/users/ann/similar", "/?user=ann", "/readyz"):
                assert httpx.get(f"{address}{path}").status_code == 200
        assert files() == before


def read_rows(store: Any, view: str, user_ids: list[str]) -> Any:
    """Rows as Feast's provider reads them, typed by the feature view."""
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    keys = [
        EntityKey(join_keys=["user_id"], entity_values=[Value(string_val=user_id)])
        for user_id in user_ids
    ]
    table = store.get_feature_view(view)
    return store._get_provider().online_read(store.config, table, keys, ["computed_at"])


@pytest.fixture(scope="module")
def feast_answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What Feast's own remote online store gets from a running server."""
    from feast import FeatureStore, RepoConfig

    home = Home(tmp_path_factory.mktemp("feast") / "home")
    home.write_statistics(USERS)
    home.publish("g1", USERS, random_vectors(len(USERS)))
    registry = FeatureRegistry(home.settings)
    registry.apply_statistics(STATISTICS)
    registry.apply_generation("g1", DIMS)
    registry.activate_service("g1")
    rows = [{"user_id": user_id} for user_id in ("cat", "zoe", "ann")]
    with serving(home.path) as (_, address):
        config = {
            **registry.stock_config(),
            "online_store": {"type": "remote", "path": address},
        }
        store = FeatureStore(config=RepoConfig(**config))
        views = ["user_activity:num_posts", "user_representation_g1:graph"]
        by_view = store.get_online_features(features=views, entity_rows=rows)
        service = store.get_feature_service("user_representation")
        by_service = store.get_online_features(features=service, entity_rows=rows)
        answers = {"view": by_view.to_dict(), "service": by_service.to_dict()}
        answers["rows"] = read_rows(store, "user_representation_g1", ["cat", "zoe"])
    home.online.close()
    return answers


class TestFeastClient:
    def test_features_of_views(self, feast_answers: dict[str, Any]) -> None:
        column = 100 * STATISTICS.index("num_posts")
        assert feast_answers["view"]["user_id"] == ["cat", "zoe", "ann"]
        assert feast_answers["view"]["num_posts"] == [column + 2, None, column]
        graph = feast_answers["view"]["graph"]
        assert graph[1] is None
        expected = random_vectors(len(USERS))["graph"][[2, 0]]
        np.testing.assert_array_equal(np.array([graph[0], graph[2]], np.float32), expected)

    def test_the_service_of_the_active_generation(self, feast_answers: dict[str, Any]) -> None:
        written = random_vectors(len(USERS))
        for name in DIMS:
            first = np.array(feast_answers["service"][name][0], np.float32)
            np.testing.assert_array_equal(first, written[name][2])
        assert feast_answers["service"]["graph_version"] == [5, None, 5]
        assert feast_answers["service"]["provisional"] == [False, None, False]

    def test_a_time_is_one_where_the_protocol_carries_types(
        self, feast_answers: dict[str, Any]
    ) -> None:
        """JSON has no times and the client guesses types of values; rows are typed by the view."""
        seconds = int(COMPUTED_AT.timestamp())
        assert feast_answers["service"]["computed_at"] == [seconds, None, seconds]
        values = [row["computed_at"] for _, row in feast_answers["rows"]]
        assert values[0].unix_timestamp_val == seconds
        assert values[1].WhichOneof("val") is None


def test_openapi_is_one_document(home: Home) -> None:
    with serving(home.path) as (_, address):
        assert json.loads(httpx.get(f"{address}/openapi.json").text)["info"]["title"] == "mmga"
