import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from fastapi.testclient import TestClient

from serving.app import create_app
from serving.services import open_services
from tests.featurestore.activation import make_active
from tests.serving.conftest import USERS
from tests.serving.published import DIMS, SCALES, Home, constant_vectors

NUM_READERS = 4
NUM_REQUESTS = 60


@contextmanager
def flipping(home: Home) -> Iterator[Callable[[], int]]:
    """Activate g1 and g2 in turn, as fast as it goes, in the background."""
    stop = threading.Event()
    flips = 0

    def flip() -> None:
        nonlocal flips
        while not stop.is_set():
            flips += 1
            make_active(home.online, f"g{1 + flips % 2}")

    thread = threading.Thread(target=flip)
    thread.start()
    try:
        yield lambda: flips
    finally:
        stop.set()
        thread.join()


def each_in_threads(work: Callable[[], None]) -> None:
    """Run `work` in several threads; the first failure is raised here."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(NUM_READERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def publish_two(home: Home) -> None:
    """Generation gN holds the value N everywhere."""
    home.write_statistics(USERS)
    for number in (2, 1):
        home.publish(f"g{number}", USERS, constant_vectors(len(USERS), number))


class TestActivation:
    def test_no_response_mixes_generations(self, empty_home: Home) -> None:
        publish_two(empty_home)
        seen: set[str] = set()

        def read(client: TestClient) -> None:
            for _ in range(NUM_REQUESTS):
                body = client.post("/v1/users", json={"user_ids": USERS}).json()
                number = int(body["generation"].removeprefix("g"))
                seen.add(body["generation"])
                assert {user["generation"] for user in body["users"]} == {body["generation"]}
                for user in body["users"]:
                    for name, width in DIMS.items():
                        assert user[name] == [number] * width
                    expected = [number * SCALES[name] for name in DIMS for _ in range(DIMS[name])]
                    assert user["representation"] == expected

        with open_services(empty_home.serving_settings) as services:
            app = create_app(services, empty_home.serving_settings)
            with flipping(empty_home) as flips, TestClient(app) as client:
                each_in_threads(lambda: read(client))
                assert flips() > 10
        assert seen == {"g1", "g2"}

    def test_feast_columns_and_neighbours_are_of_one_generation(self, empty_home: Home) -> None:
        publish_two(empty_home)
        request = {"feature_service": "user_representation", "entities": {"user_id": USERS}}

        def read(client: TestClient) -> None:
            for _ in range(NUM_REQUESTS):
                columns = client.post("/get-online-features", json=request).json()["results"]
                values = {
                    value for column in columns[1:4] for row in column["values"] for value in row
                }
                assert len(values) == 1
                assert client.get("/v1/users/ann/similar?k=3").status_code == 200

        with open_services(empty_home.serving_settings) as services:
            app = create_app(services, empty_home.serving_settings)
            with flipping(empty_home), TestClient(app) as client:
                each_in_threads(lambda: read(client))

    def test_a_new_generation_is_served_at_once(self, empty_home: Home) -> None:
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
