import json
import re
from collections.abc import Iterator
from html import escape, unescape
from urllib.parse import quote

import numpy as np
import pytest
from fastapi.testclient import TestClient

from featurestore.errors import StoreUnavailable
from serving.app import create_app
from serving.encoding import json_bytes
from serving.services import Services, open_services
from tests.serving.conftest import USERS
from tests.serving.published import COMMIT_TIME, Home, random_vectors

HOSTILE = ["a/b", "..", "a/similar", "%2F", "a b", "<script>", "用户", "?x=1", "#", "a&b", "x;y"]


@pytest.fixture
def client(home: Home, services: Services) -> Iterator[TestClient]:
    app = create_app(services, home.serving_settings)
    with TestClient(app, raise_server_exceptions=False) as opened:
        yield opened


class TestUsers:
    def test_one_user_is_the_lookup(self, client: TestClient, services: Services) -> None:
        response = client.get("/v1/users/ann")
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/json"
        expected = json.loads(json_bytes(services.lookup.user("ann")))
        body = response.json()
        del body["staleness_seconds"], expected["staleness_seconds"]
        assert body == expected

    def test_several_users(self, client: TestClient) -> None:
        body = client.post("/v1/users", json={"user_ids": ["eve", "zoe", "ann"]}).json()
        assert [user["user_id"] for user in body["users"]] == ["eve", "ann"]
        assert (body["generation"], body["unknown"]) == ("g1", ["zoe"])

    def test_max_staleness(self, client: TestClient) -> None:
        assert client.get("/v1/users/ann?max_staleness=1e12").json()["missing"] == {}
        stale = client.get("/v1/users/ann?max_staleness=0.1").json()
        assert (stale["graph"], stale["missing"]["graph"]) == (None, "stale")
        body = {"user_ids": ["ann"], "max_staleness": 0.1}
        assert client.post("/v1/users", json=body).json()["users"][0]["graph"] is None

    @pytest.mark.parametrize("user_id", HOSTILE)
    def test_ids_that_look_like_something_else(
        self, home: Home, client: TestClient, user_id: str
    ) -> None:
        path = f"/v1/users/{quote(user_id, safe='')}"
        if user_id != "..":  # clients resolve it before they send
            assert client.get(path).status_code == 404
        home.write_statistics([user_id])
        if user_id != "..":
            assert client.get(path).json()["user_id"] == user_id
        body = client.post("/v1/users", json={"user_ids": [user_id]}).json()
        assert body["users"][0]["user_id"] == user_id

    def test_similar(self, client: TestClient, services: Services) -> None:
        body = client.get("/v1/users/ann/similar?k=2").json()
        assert body == json.loads(json_bytes(services.similar.nearest("ann", 2)))
        assert len(client.get("/v1/users/ann/similar").json()["similar"]) == len(USERS) - 1


class TestErrors:
    @pytest.mark.parametrize(
        ("path", "status"),
        [
            ("/v1/users/zoe", 404),
            ("/v1/users/zoe/similar", 404),
            ("/v1/users/a%00b", 400),
            ("/v1/users/a%0Ab", 400),
            ("/v1/users/%FF", 400),
            ("/v1/users/" + "a" * 257, 400),
            ("/v1/users/ann?max_staleness=-1", 400),
            ("/v1/users/ann?max_staleness=nan", 400),
            ("/v1/users/ann?max_staleness=soon", 400),
            ("/v1/users/ann/similar?k=0", 400),
            ("/v1/users/ann/similar?k=many", 400),
            ("/v1/users/ann/similar?k=1000000", 400),
            ("/v1/users/ann/nothing", 404),
            ("/nothing", 404),
            ("/v1/users", 405),
            ("/docs", 404),
            ("/v1/users/ann/", 404),
            ("/healthz/", 404),
            ("/" + "a" * 50_000, 404),
            ("/v1/users/ann/similar?k=" + "9" * 5_000, 400),
            ("/?user=%ff", 400),
        ],
    )
    def test_of_a_path(self, client: TestClient, path: str, status: int) -> None:
        response = client.get(path)
        assert response.status_code == status
        assert_one_line(response.json())

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{",
            b"[]",
            b"null",
            b'{"user_ids": []}',
            b'{"user_ids": "ann"}',
            b'{"user_ids": [1]}',
            b'{"user_ids": [null]}',
            b'{"user_ids": ["\\u0000"]}',
            b'{"user_ids": ["\\ud800"]}',
            b'{"user_ids": ["\xff"]}',
            b'{"user_ids": ["ann"], "max_staleness": "x"}',
            b'{"user_ids": ["ann"], "max_staleness": -1}',
            b'{"user_ids": ["ann"], "max_staleness": NaN}',
            b"[" * 100_000,
            b'{"user_ids": [' + b"[" * 50_000 + b"]" * 50_000 + b"]}",
            b'{"x": ' + b"[" * 50_000 + b"]" * 50_000 + b', "user_ids": ["ann"]}',
            b'{"x":' * 100_000,
            b'{"user_ids": [' + b"9" * 5_000 + b"]}",
            b'{"user_ids": ["ann"], "max_staleness": ' + b"9" * 5_000 + b"}",
            b'{"user_ids": ["ann"], "max_staleness": 1e999}',
            b'{"user_ids": ["' + b"a" * 500_000 + b'"]}',
            b'\xef\xbb\xbf{"user_ids": ["ann"]}',
            '{"user_ids": ["ann"]}'.encode("utf-16"),
            json.dumps({"user_ids": ["a"] * 1001}).encode(),
        ],
    )
    def test_of_a_body(self, client: TestClient, body: bytes) -> None:
        response = client.post("/v1/users", content=body)
        assert response.status_code == 400
        assert_one_line(response.json())

    @pytest.mark.parametrize("path", ["/v1/users", "/get-online-features"])
    def test_a_large_body_is_not_read(self, client: TestClient, path: str) -> None:
        def pieces() -> Iterator[bytes]:
            for _ in range(3):
                yield b" " * 500_000

        for content in (b" " * 1_048_577, pieces()):
            response = client.post(path, content=content)
            assert response.status_code == 413
            assert_one_line(response.json())

    def test_a_length_beyond_the_limit_is_refused_before_the_body(self, client: TestClient) -> None:
        response = client.post("/v1/users", content=b"", headers={"Content-Length": "9" * 19})
        assert response.status_code == 413

    def test_no_address_is_made_of_the_host(self, client: TestClient) -> None:
        for path in ("/v1/users/ann/", "/v1/users/", "/healthz/", "/openapi.json/"):
            response = client.get(path, headers={"Host": "other"}, follow_redirects=False)
            assert response.status_code == 404
            assert "location" not in response.headers

    def test_an_outage_is_one_line_in_the_log(
        self, client: TestClient, services: Services, caplog: pytest.LogCaptureFixture
    ) -> None:
        services.online.close()
        for path in ("/readyz", "/v1/users/ann", "/v1/users/bob", "/?user=ann"):
            assert client.get(path).status_code == 503
        assert [record.name for record in caplog.records].count("serving.outage_log") == 1

    def test_a_store_that_fails_does_not_leak(self, client: TestClient, home: Home) -> None:
        client.get("/v1/users/ann")
        (home.path / "indexes/g1/1/base_index.safetensors").write_bytes(b"broken")
        response = client.get("/v1/users/ann/similar")
        assert response.status_code == 503
        assert str(home.path) not in response.text
        assert_one_line(response.json())

    def test_a_defect_does_not_leak(
        self, client: TestClient, services: Services, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*arguments: object) -> None:
            raise RuntimeError("secret")

        monkeypatch.setattr(type(services.online), "read", broken)
        response = client.get("/v1/users/ann")
        assert response.status_code == 500
        assert "secret" not in response.text
        assert "Traceback" not in response.text
        assert_one_line(response.json())


class TestHead:
    @pytest.mark.parametrize(
        "path",
        ["/", "/healthz", "/readyz", "/v1/users/ann", "/v1/users/zoe", "/openapi.json", "/nothing"],
    )
    def test_answers_as_get_without_the_body(self, client: TestClient, path: str) -> None:
        get, head = client.get(path), client.head(path)
        assert (head.status_code, head.content) == (get.status_code, b"")
        assert head.headers["content-type"] == get.headers["content-type"]

    def test_is_allowed_where_get_is(self, client: TestClient) -> None:
        assert client.post("/healthz").headers["allow"] == "GET, HEAD"
        assert client.head("/v1/users").headers["allow"] == "POST"


class TestHealth:
    def test_ready_with_a_generation(self, client: TestClient) -> None:
        assert client.get("/healthz").json() == {"status": "alive"}
        assert client.get("/readyz").json() == {"status": "ready", "generation": "g1"}

    def test_not_ready_before_the_first(self, empty_home: Home) -> None:
        empty_home.write_statistics(["ann"])
        with open_services(empty_home.serving_settings) as services:
            client = TestClient(create_app(services, empty_home.serving_settings))
            assert client.get("/healthz").status_code == 200
            for path in ("/readyz", "/v1/users/ann/similar"):
                response = client.get(path)
                assert response.status_code == 503
                assert "mmga train" in response.json()["error"]
            assert client.get("/v1/users/ann").json()["statistics"]["has_profile"] == 0
            assert "No generation is active" in client.get("/").text

    def test_not_ready_while_the_store_fails(self, home: Home) -> None:
        with open_services(home.serving_settings) as services:
            client = TestClient(create_app(services, home.serving_settings))
            services.online.close()
            with pytest.raises(StoreUnavailable):
                services.online.pointer()
            assert client.get("/readyz").status_code == 503
            assert client.get("/healthz").status_code == 200
            page = client.get("/")
            assert page.status_code == 503
            assert "cannot be read" in page.text

    def test_describes_itself(self, client: TestClient) -> None:
        paths = client.get("/openapi.json").json()["paths"]
        assert set(paths) == {
            "/v1/users/{user_id}",
            "/v1/users/{user_id}/similar",
            "/v1/users",
            "/get-online-features",
            "/healthz",
            "/readyz",
        }


class TestPage:
    def test_status_and_one_user(self, client: TestClient) -> None:
        page = client.get("/?user=ann")
        assert page.status_code == 200
        for text in ("g1", "mean likes", 'href="/?user=', "Look up a user", 'lang="en"'):
            assert text in page.text
        assert "script" not in page.text.lower()
        assert "script-src" not in page.headers["content-security-policy"]

    def test_the_style_is_the_one_that_the_policy_allows(self, client: TestClient) -> None:
        import base64
        import hashlib

        page = client.get("/")
        style = page.text.partition("<style>")[2].partition("</style>")[0]
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in page.headers["content-security-policy"]

    @pytest.mark.parametrize("user_id", ["<b>x</b>", '"><img src=x onerror=alert(1)>', "zoe"])
    def test_an_unknown_user_is_escaped(self, client: TestClient, user_id: str) -> None:
        page = client.get("/", params={"user": user_id})
        assert page.status_code == 404
        assert user_id == "zoe" or user_id not in page.text
        assert 'role="alert"' in page.text

    def test_a_hostile_known_user_is_escaped(self, home: Home, client: TestClient) -> None:
        user_id = '<img src="x">'
        home.write_statistics([user_id])
        vectors = {name: rows[:1] for name, rows in random_vectors(1).items()}
        home.online.write("user_representation_g1", [user_id], vectors, commit_time=COMMIT_TIME + 1)
        page = client.get("/", params={"user": user_id})
        assert page.status_code == 200
        assert user_id not in page.text

    def test_each_link_leads_to_its_user(self, home: Home, client: TestClient) -> None:
        user_ids = HOSTILE[:8]  # as many as the page gives as examples
        home.write_statistics(user_ids)
        home.publish("g2", user_ids, random_vectors(len(user_ids)))
        examples = links(client.get("/").text)
        assert [text for _, text in examples] == user_ids
        similar = links(client.get("/", params={"user": user_ids[0]}).text)
        assert {text for _, text in similar} == set(user_ids[1:])
        for address, user_id in [*examples, *similar]:
            assert f"<h2>User {escape(user_id)}</h2>" in client.get(address).text

    def test_a_user_before_the_first_generation(self, empty_home: Home) -> None:
        empty_home.write_statistics(["ann"])
        with open_services(empty_home.serving_settings) as services:
            client = TestClient(create_app(services, empty_home.serving_settings))
            page = client.get("/?user=ann")
        assert page.status_code == 200
        for text in ("none yet", "graph (no generation)", "no representation to compare"):
            assert text in page.text

    def test_an_id_too_long_is_not_repeated(self, client: TestClient) -> None:
        page = client.get("/", params={"user": "a" * 50_000})
        assert page.status_code == 400
        assert len(page.text) < 10_000

    def test_a_bad_id_is_told(self, client: TestClient) -> None:
        page = client.get("/?user=a%00b")
        assert page.status_code == 400
        assert "control characters" in page.text


def links(page: str) -> list[tuple[str, str]]:
    """Address and text of each link."""
    found = re.findall(r'<a href="([^"]*)">([^<]*)</a>', page)
    return [(unescape(address), unescape(text)) for address, text in found]


def assert_one_line(body: dict[str, str]) -> None:
    assert set(body) == {"error", "detail"}
    assert body["detail"] == body["error"] != ""
    assert "\n" not in body["error"]
    assert np.char.str_len(body["error"]) < 400
