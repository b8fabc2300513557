import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from graphdb.statistics import STATISTICS
from serving.app import create_app
from serving.services import Services
from tests.featurestore.activation import make_active
from tests.serving.conftest import USERS
from tests.serving.published import COMMIT_TIME, COMPUTED_AT, Home, random_vectors

VIEW_OF = "user_representation_"
LONG = "g" * 100_000


@pytest.fixture
def client(home: Home, services: Services) -> Iterator[TestClient]:
    with TestClient(create_app(services, home.serving_settings)) as opened:
        yield opened


def ask(client: TestClient, **body: Any) -> dict[str, Any]:
    response = client.post("/get-online-features", json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


class TestColumns:
    def test_join_key_first_then_features_in_the_order_asked(self, client: TestClient) -> None:
        answer = ask(
            client,
            entities={"user_id": ["bob", "zoe", "ann"]},
            features=["user_activity:num_posts", "user_representation_g1:text"],
        )
        assert answer["metadata"]["feature_names"] == ["user_id", "num_posts", "text"]
        ids, num_posts, text = answer["results"]
        assert ids["values"] == ["bob", "zoe", "ann"]
        column = 100 * STATISTICS.index("num_posts")
        assert num_posts["values"] == [column + 1, None, column]
        assert num_posts["statuses"] == ["PRESENT", "NOT_FOUND", "PRESENT"]
        assert num_posts["event_timestamps"][0] == "2026-09-21T14:13:20.123456Z"
        assert num_posts["event_timestamps"][1] == "1970-01-01T00:00:00Z"
        written = random_vectors(len(USERS))["text"]
        np.testing.assert_array_equal(np.array(text["values"][0], np.float32), written[1])

    def test_the_service_names_the_active_generation(self, client: TestClient, home: Home) -> None:
        home.publish("g2", USERS, random_vectors(len(USERS), seed=2), activate=False)
        body = {"entities": {"user_id": ["ann"]}}
        first = ask(client, feature_service="user_representation", **body)
        assert first == ask(client, feature_service="user_representation_g1", **body)
        second = ask(client, feature_service="user_representation_g2", **body)
        assert first != second
        make_active(home.online, "g2")
        assert ask(client, feature_service="user_representation", **body) == second
        names = ["user_id", "graph", "image", "text", "graph_version", "computed_at", "provisional"]
        assert first["metadata"]["feature_names"] == names
        provenance = [column["values"][0] for column in first["results"][4:]]
        assert provenance == [5, int(COMPUTED_AT.timestamp()), False]

    def test_full_feature_names(self, client: TestClient) -> None:
        answer = ask(
            client,
            entities={"user_id": ["ann"]},
            features=["user_activity:graph_version", "user_representation_g1:graph_version"],
            full_feature_names=True,
        )
        assert answer["metadata"]["feature_names"][1:] == [
            "user_activity__graph_version",
            "user_representation_g1__graph_version",
        ]
        assert [column["values"] for column in answer["results"][1:]] == [[7], [5]]

    def test_nan_is_not_found(self, client: TestClient, home: Home) -> None:
        vectors = random_vectors(1)
        vectors["graph"][0, 0] = np.nan
        home.online.write("user_representation_g1", ["ann"], vectors, commit_time=COMMIT_TIME + 1)
        request = {"entities": {"user_id": ["ann"]}, "features": ["user_representation_g1:graph"]}
        response = client.post("/get-online-features", json=request)
        assert "NaN" not in response.text
        assert response.json()["results"][1]["statuses"] == ["NOT_FOUND"]


class TestRefused:
    @pytest.mark.parametrize(
        ("status", "body"),
        [
            (400, {}),
            (400, {"entities": {}}),
            (400, {"entities": {"driver": ["ann"]}, "features": ["user_activity:num_posts"]}),
            (400, {"entities": {"user_id": [1]}, "features": ["user_activity:num_posts"]}),
            (400, {"entities": {"user_id": []}, "features": ["user_activity:num_posts"]}),
            (400, {"entities": {"user_id": ["ann"]}}),
            (400, {"entities": {"user_id": ["ann"]}, "features": ["num_posts"]}),
            (400, {"entities": {"user_id": ["ann"]}, "features": ["user_activity:num_posts"] * 2}),
            (400, {"entities": {"user_id": ["ann"]}, "features": ["a:b"] * 201}),
            (404, {"entities": {"user_id": ["ann"]}, "features": ["user_activity:nothing"]}),
            (404, {"entities": {"user_id": ["ann"]}, "features": ["nothing:num_posts"]}),
            (404, {"entities": {"user_id": ["ann"]}, "feature_service": "user_activity"}),
            (404, {"entities": {"user_id": ["ann"]}, "feature_service": "user_representation_g9"}),
            (
                404,
                {"entities": {"user_id": ["ann"]}, "feature_service": "user_representation_../g1"},
            ),
            (
                404,
                {"entities": {"user_id": ["ann"]}, "feature_service": VIEW_OF + "g" * 300},
            ),
            (
                404,
                {"entities": {"user_id": ["ann"]}, "feature_service": VIEW_OF + "g" * 128},
            ),
            (404, {"entities": {"user_id": ["ann"]}, "feature_service": VIEW_OF + "\0"}),
            (
                404,
                {"entities": {"user_id": ["ann"]}, "features": [f"{VIEW_OF}{LONG}:graph"]},
            ),
            (404, {"entities": {"user_id": ["ann"]}, "features": [f"user_activity:{LONG}"]}),
            (404, {"entities": {"user_id": ["ann"]}, "features": [f"{LONG}:graph"]}),
            (400, {"entities": {"user_id": ["ann"]}, "features": [LONG]}),
            (400, {"entities": {LONG: ["ann"]}, "features": ["user_activity:num_posts"]}),
        ],
    )
    def test_one_line(
        self,
        client: TestClient,
        status: int,
        body: dict[str, Any],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        response = client.post("/get-online-features", content=json.dumps(body))
        assert response.status_code == status
        assert set(response.json()) == {"error", "detail"}
        assert len(response.json()["error"]) < 400
        assert [record for record in caplog.records if record.levelname == "ERROR"] == []
