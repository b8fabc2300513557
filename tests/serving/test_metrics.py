"""What Prometheus reads from serving."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from serving.app import create_app
from serving.services import Services, open_services
from tests.serving.published import Home

Samples = dict[tuple[str, ...], float]


@pytest.fixture
def client(home: Home, services: Services) -> Iterator[TestClient]:
    with TestClient(
        create_app(services, home.serving_settings), raise_server_exceptions=False
    ) as opened:
        yield opened


def samples(client: TestClient, name: str, *labels: str) -> Samples:
    """The samples of a name, by the values of these labels."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {
        tuple(sample.labels[label] for label in labels): sample.value
        for family in families
        for sample in family.samples
        if sample.name == name
    }


def test_requests_are_counted_by_route_and_status(client: TestClient) -> None:
    client.get("/v1/users/ann")
    client.get("/v1/users/bob")
    client.get("/v1/users/zoe")
    client.get("/v1/users/ann/similar")
    found = samples(client, "mmga_serving_requests_total", "route", "status")
    assert found["/v1/users/{user_id}", "200"] == 2
    assert found["/v1/users/{user_id}", "404"] == 1
    assert found["/v1/users/{user_id}/similar", "200"] == 1
    times = samples(client, "mmga_serving_request_seconds_count", "route")
    assert times["/v1/users/{user_id}",] == 3


def test_paths_and_methods_that_are_none_add_one_series(client: TestClient) -> None:
    for number in range(20):
        client.get(f"/nothing/{number}")
        client.request(f"M{number}", f"/nothing/{number}")
    found = samples(client, "mmga_serving_requests_total", "route", "method", "status")
    assert {key: value for key, value in found.items() if key[0] == "none"} == {
        ("none", "GET", "404"): 20,
        ("none", "none", "404"): 20,
    }


def test_a_method_that_a_route_lacks(client: TestClient) -> None:
    for number in range(20):
        client.request(f"M{number}", "/v1/users/ann")
    found = samples(client, "mmga_serving_requests_total", "method", "status")
    assert sum(value for (_, status), value in found.items() if status == "405") == 20
    assert len({method for method, status in found if status == "405"}) == 1


def test_staleness_of_each_stage_and_the_active_generation(client: TestClient) -> None:
    staleness = samples(client, "mmga_serving_staleness_seconds", "stage")
    assert set(staleness) == {("statistics",), ("representation",)}
    assert all(seconds > 0 for seconds in staleness.values())
    assert samples(client, "mmga_serving_generation", "generation") == {("g1",): 1}


def test_before_the_first_generation(empty_home: Home) -> None:
    with open_services(empty_home.serving_settings) as services:
        client = TestClient(create_app(services, empty_home.serving_settings))
        assert samples(client, "mmga_serving_generation", "generation") == {}
        assert samples(client, "mmga_serving_staleness_seconds", "stage") == {}


def test_a_request_that_fails_is_a_500(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, services: Services
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(type(services.similar), "nearest", fail)
    assert client.get("/v1/users/ann/similar").status_code == 500
    found = samples(client, "mmga_serving_requests_total", "route", "status")
    assert found["/v1/users/{user_id}/similar", "500"] == 1


def test_two_applications_count_for_themselves(home: Home, services: Services) -> None:
    first, second = (TestClient(create_app(services, home.serving_settings)) for _ in range(2))
    first.get("/healthz")
    assert ("/healthz",) not in samples(second, "mmga_serving_requests_total", "route")
