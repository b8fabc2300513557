"""Readers through 100 switches: every answer is of one generation, its index included."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from serving.app import create_app
from serving.services import open_services
from tests.featurestore.activation import make_active
from tests.featurestore.redis_database import emptied
from tests.servers import Server
from tests.serving.conftest import USERS
from tests.serving.published import Home, constant_vectors, fused, random_vectors

NUM_SWITCHES = 100
BACKENDS = ["sqlite", pytest.param("redis", marks=pytest.mark.servers("Redis"))]
EVERYTHING = {"feature_service": "user_representation", "entities": {"user_id": USERS}}

Read = Callable[[TestClient], object]


@pytest.fixture(params=BACKENDS)
def two(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Home]:
    """Generations g1 and g2, whose vectors are of opposite sign: R of g2 is -R of g1."""
    url = None
    if request.param == "redis":
        server: Server = request.getfixturevalue("redis_server")
        url = emptied(server.url, 13)
    home = Home(tmp_path / "home", url)
    home.write_statistics(USERS)
    vectors = random_vectors(len(USERS))
    home.publish("g2", USERS, {name: -matrix for name, matrix in vectors.items()})
    home.publish("g1", USERS, vectors)
    yield home
    home.online.close()


def hammer(home: Home, reads: list[Read]) -> list[list[object]]:
    """The answers of each reader, one thread each, from before the first switch to the last."""
    is_done = threading.Event()
    answered = [threading.Semaphore(0) for _ in reads]

    with open_services(home.serving_settings) as services:
        app = create_app(services, home.serving_settings)

        def answers(number: int) -> list[object]:
            found = []
            with TestClient(app) as client:
                while not is_done.is_set():
                    found.append(reads[number](client))
                    answered[number].release()
            return found

        with ThreadPoolExecutor(len(reads)) as threads:
            readers = [threads.submit(answers, number) for number in range(len(reads))]
            try:
                for switch in range(NUM_SWITCHES):
                    if switch % 7 == 0:  # so that slow readers see both generations
                        for each in answered:
                            assert each.acquire(timeout=60)
                    make_active(home.online, f"g{2 - switch % 2}")
            finally:
                is_done.set()
            return [reader.result() for reader in readers]


def sign_of(values: object, expected: object) -> float:
    """1 where the values are those of g1, -1 where they are those of g2."""
    sign = float(np.sign(np.ravel(values)[0] * np.ravel(expected)[0]))
    np.testing.assert_allclose(values, sign * np.asarray(expected), rtol=1e-6)
    return sign


def test_no_answer_mixes_two_generations(two: Home) -> None:
    vectors = random_vectors(len(USERS))
    representations = fused(vectors)
    generation_of = {1.0: "g1", -1.0: "g2"}
    normed = representations / np.linalg.norm(representations, axis=1, keepdims=True)
    nearest = np.sort(normed[1:] @ normed[0])[::-1]

    def users(client: TestClient) -> str:
        body = client.post("/v1/users", json={"user_ids": USERS}).json()
        for name, expected in [*vectors.items(), ("representation", representations)]:
            found = [user[name] for user in body["users"]]
            assert generation_of[sign_of(found, expected)] == body["generation"]
        assert {user["generation"] for user in body["users"]} == {body["generation"]}
        return str(body["generation"])

    def features(client: TestClient) -> str:
        body = client.post("/get-online-features", json=EVERYTHING).json()
        names = body["metadata"]["feature_names"]
        signs = {
            sign_of(body["results"][names.index(name)]["values"], expected)
            for name, expected in vectors.items()
        }
        assert len(signs) == 1
        return generation_of[signs.pop()]

    def similar(client: TestClient) -> str:
        """Equal cosines in both: a query of one in the index of the other has their negatives."""
        body = client.get(f"/v1/users/{USERS[0]}/similar?k={len(USERS) - 1}").json()
        cosines = [other["cosine"] for other in body["similar"]]
        np.testing.assert_allclose(cosines, nearest, atol=1e-6)
        return str(body["generation"])

    seen = hammer(two, [users, features, similar, users])
    assert all(len(answers) > NUM_SWITCHES / 7 for answers in seen)
    assert set(chain(*seen)) == {"g1", "g2"}


def test_a_new_generation_is_served_at_once(empty_home: Home) -> None:
    empty_home.write_statistics(USERS)
    with open_services(empty_home.serving_settings) as services:
        assert services.lookup.user("ann").generation is None
        for number in range(1, 7):  # more than are remembered
            vectors = constant_vectors(len(USERS), number)
            empty_home.publish(f"g{number}", USERS, vectors)
            features = services.lookup.user("ann")
            assert features.generation == f"g{number}"
            assert features.graph is not None
            np.testing.assert_array_equal(features.graph, np.float32(number))
            assert services.similar.nearest("ann", 1).generation == f"g{number}"
