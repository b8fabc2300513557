"""A home that is deleted, renamed or replaced while its server runs."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from foundation import watched_file
from graphdb import open_graph
from serving import published
from serving.app import create_app
from serving.services import Services, open_services
from serving.staleness import GraphHead
from tests.featurestore.activation import make_active
from tests.featurestore.redis_database import emptied
from tests.servers.server import Server
from tests.serving.conftest import USERS
from tests.serving.published import Home, constant_vectors, random_vectors


@pytest.fixture(autouse=True)
def looks_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched_file, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(published, "LOOK_SECONDS", 0.0)


@pytest.fixture
def opened(home: Home) -> Iterator[Services]:
    with open_services(replace(home.serving_settings, graph_head_seconds=0.0)) as services:
        yield services


@pytest.fixture
def client(home: Home, opened: Services) -> Iterator[TestClient]:
    with TestClient(create_app(opened, home.serving_settings)) as client:
        assert client.get("/v1/users/ann").status_code == 200
        assert client.get("/v1/users/ann/similar").status_code == 200
        assert client.get("/readyz").status_code == 200
        yield client


def deleted(home: Home) -> None:
    home.online.close()
    shutil.rmtree(home.path)


def renamed(home: Home) -> None:
    home.path.rename(home.path.with_name("away"))


@pytest.mark.parametrize("take_away", [deleted, renamed])
class TestHome:
    def test_without_it_the_server_is_not_ready(
        self, home: Home, client: TestClient, take_away: Callable[[Home], None]
    ) -> None:
        take_away(home)
        for path in ("/readyz", "/v1/users/ann", "/v1/users/ann/similar", "/?user=ann", "/"):
            assert client.get(path).status_code == 503
        assert client.get("/healthz").status_code == 200
        assert not home.path.exists()

    def test_a_new_one_is_served(
        self, home: Home, client: TestClient, take_away: Callable[[Home], None]
    ) -> None:
        take_away(home)
        new = Home(home.path)
        new.write_statistics(["new"])
        assert client.get("/readyz").status_code == 503
        assert client.get("/v1/users/ann").status_code == 404
        assert client.get("/v1/users/new").json()["generation"] is None
        new.publish("g1", ["new", "newer"], constant_vectors(2, 3.0))
        assert client.get("/readyz").json()["generation"] == "g1"
        assert set(client.get("/v1/users/new").json()["image"]) == {3.0}
        similar = client.get("/v1/users/new/similar").json()["similar"]
        assert [user["user_id"] for user in similar] == ["newer"]
        new.online.close()

    def test_it_may_come_back(
        self, home: Home, client: TestClient, take_away: Callable[[Home], None], tmp_path: Path
    ) -> None:
        shutil.copytree(home.path, tmp_path / "copy")
        take_away(home)
        assert client.get("/v1/users/ann").status_code == 503
        (tmp_path / "copy").rename(home.path)
        assert client.get("/v1/users/ann").status_code == 200


class TestGenerations:
    def test_a_generation_that_is_gone_is_not_served(self, home: Home, client: TestClient) -> None:
        shutil.rmtree(home.path / "generations")
        for path in ("/readyz", "/v1/users/ann", "/v1/users/ann/similar", "/"):
            assert client.get(path).status_code == 503

    def test_another_of_the_same_name_is_read(
        self, home: Home, client: TestClient, opened: Services
    ) -> None:
        shutil.rmtree(home.path / "generations/g1")
        vectors = random_vectors(2, seed=7)
        vectors["text"] = np.ones((2, 5), np.float32)
        home.publish("g1", USERS[:2], vectors)
        assert opened.published.required().dims["text"] == 5
        similar = client.get("/v1/users/ann/similar").json()["similar"]
        assert [user["user_id"] for user in similar] == ["bob"]


def test_the_head_is_that_of_the_graph_that_is_there(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'graph.db'}"
    open_graph(url).close()
    head = GraphHead(lambda: open_graph(url, read_only=True), keep_seconds=0.0)
    first = head()
    for file in tmp_path.glob("graph.db*"):
        file.unlink()
    assert head() is None
    open_graph(url).close()
    second = head()
    assert first is not None
    assert second is not None
    assert first[0] != second[0]
    head.close()


@pytest.mark.servers("Redis")
def test_a_redis_that_is_emptied_is_not_ready(tmp_path: Path, redis_server: Server) -> None:
    home = Home(tmp_path / "home", online_store_url=emptied(redis_server.url, 11))
    home.write_statistics(USERS)
    home.publish("g1", USERS, random_vectors(len(USERS)))
    with (
        open_services(home.serving_settings) as services,
        TestClient(create_app(services, home.serving_settings)) as client,
    ):
        assert client.get("/readyz").json()["generation"] == "g1"
        emptied(redis_server.url, 11)
        assert client.get("/readyz").status_code == 503
        assert client.get("/v1/users/ann").status_code == 404
        home.write_statistics(["new"])
        assert client.get("/v1/users/new").json()["generation"] is None
        make_active(home.online, "g2")  # of another home
        for path in ("/readyz", "/v1/users/new"):
            assert client.get(path).status_code == 503
    home.online.close()
