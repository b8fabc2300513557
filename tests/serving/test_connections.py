"""Clients that are silent, slow or many, on real sockets, against a server in a thread."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from serving import connections
from serving.app import create_app
from serving.lookup import Lookup
from serving.server import listen, server_of
from serving.services import Services
from serving.settings import ServingSettings
from tests.serving.published import Home

HEAD = b"POST /v1/users HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
Connect = Callable[[], socket.socket]


@contextmanager
def answering(services: Services, settings: ServingSettings) -> Iterator[int]:
    """The port of a server that answers in a thread."""
    listener = listen("127.0.0.1", 0)
    server = server_of(create_app(services, settings), shutdown_seconds=1)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        wait_for(lambda: server.started)
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection may be quiet for a quarter of a second."""
    monkeypatch.setattr(connections, "QUIET_SECONDS", 0.25)


@pytest.fixture
def port(home: Home, services: Services, impatient: None) -> Iterator[int]:
    settings = replace(home.serving_settings, body_seconds=0.25, max_requests=2)
    with answering(services, settings) as found:
        yield found


@pytest.fixture
def connect(port: int) -> Iterator[Connect]:
    """Opens connections to the server."""
    with ExitStack() as stack:

        def connected() -> socket.socket:
            opened = socket.create_connection(("127.0.0.1", port), timeout=30)
            return stack.enter_context(closing(opened))

        yield connected


def received(connection: socket.socket) -> bytes:
    """All that the server sends until it closes, or resets a connection that it has not read."""
    pieces = []
    with suppress(ConnectionResetError):
        while piece := connection.recv(65_536):
            pieces.append(piece)
    return b"".join(pieces)


def answer_of(data: bytes) -> tuple[int, dict[str, str]]:
    """Status and JSON of a response."""
    head, _, body = data.partition(b"\r\n\r\n")
    assert b"content-type: application/json" in head.lower()
    return int(head.split()[1]), json.loads(body)


def counted(port: int, name: str) -> dict[tuple[str, ...], float]:
    """Samples of a counter by the values of its labels."""
    text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    return {
        tuple(sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


def wait_for(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class TestSilence:
    def test_a_silent_connection_is_closed_and_counted(self, port: int, connect: Connect) -> None:
        assert received(connect()) == b""
        assert counted(port, "mmga_serving_connections_dropped_total") == {
            ("silent",): 1,
            ("crowded",): 0,
        }

    def test_idle_connections_are_no_requests(self, port: int, connect: Connect) -> None:
        for _ in range(20):
            connect()
        for path in ("/healthz", "/readyz", "/v1/users/ann"):
            assert httpx.get(f"http://127.0.0.1:{port}{path}").status_code == 200

    def test_a_head_that_does_not_end_is_refused(self, port: int, connect: Connect) -> None:
        connection = connect()
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost:")
        status, body = answer_of(received(connection))
        assert status == 408
        assert "send it again" in body["error"]
        requests = counted(port, "mmga_serving_requests_total")
        assert requests["none", "none", "408"] == 1

    def test_a_body_that_does_not_end_is_refused(self, port: int, connect: Connect) -> None:
        slow = [connect() for _ in range(4)]
        for connection in slow:
            connection.sendall(HEAD + b"{")
        assert httpx.get(f"http://127.0.0.1:{port}/v1/users/ann").status_code == 200
        assert [answer_of(received(each))[0] for each in slow] == [408] * 4
        requests = counted(port, "mmga_serving_requests_total")
        assert {key[-1]: value for key, value in requests.items() if "POST" in key} == {"408": 4}

    def test_a_kept_connection_may_not_begin_a_request_for_ever(self, connect: Connect) -> None:
        connection = connect()
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET /hea")
        assert answer_of(received(connection))[0] == 408

    def test_who_does_not_read_the_answer_is_dropped(self, port: int, connect: Connect) -> None:
        body = json.dumps({"user_ids": ["ann"] * 1_000}).encode()
        request = HEAD.replace(b"100", b"%d" % len(body)) + body
        connection = connect()
        for _ in range(20):
            connection.sendall(request)
        wait_for(lambda: counted(port, "mmga_serving_connections_dropped_total")["silent",] == 1)

    def test_a_client_that_leaves_is_no_fault(
        self, port: int, connect: Connect, caplog: pytest.LogCaptureFixture
    ) -> None:
        connection = connect()
        connection.sendall(HEAD + b"{")
        connection.close()
        wait_for(lambda: any("499" in key for key in counted(port, "mmga_serving_requests_total")))
        assert [record for record in caplog.records if record.levelname == "ERROR"] == []


class TestLimits:
    def test_an_endless_head_is_refused(self, port: int, connect: Connect) -> None:
        connection = connect()
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * connections.MAX_HEAD_BYTES)
        assert answer_of(received(connection))[0] == 431

    def test_what_is_no_http_is_refused_in_json(
        self, port: int, connect: Connect, caplog: pytest.LogCaptureFixture
    ) -> None:
        connection = connect()
        connection.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        assert answer_of(received(connection))[0] == 400
        assert counted(port, "mmga_serving_requests_total")["none", "none", "400"] == 1
        assert "Invalid HTTP" not in caplog.text

    def test_the_oldest_make_room_for_others(
        self, port: int, connect: Connect, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(connections, "QUIET_SECONDS", 1_000)
        monkeypatch.setattr(connections, "max_connections", lambda: 20)
        opened = [connect() for _ in range(60)]
        assert httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
        assert received(opened[0]) == b""
        assert counted(port, "mmga_serving_connections_dropped_total")["crowded",] >= 40

    def test_requests_beyond_the_limit_are_refused_and_health_is_not(
        self, port: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        entered, leave = threading.Semaphore(0), threading.Event()
        users = Lookup.users

        def held(*arguments: object, **options: object) -> object:
            entered.release()
            leave.wait(30)
            return users(*arguments, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(Lookup, "users", held)
        answers: list[int] = []
        url = f"http://127.0.0.1:{port}/v1/users/ann"
        threads = [
            threading.Thread(target=lambda: answers.append(httpx.get(url).status_code))
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for _ in threads:
            entered.acquire()
        refused = httpx.get(url)
        assert (refused.status_code, set(refused.json())) == (503, {"error", "detail"})
        for path in ("/healthz", "/readyz"):
            assert httpx.get(f"http://127.0.0.1:{port}{path}").status_code == 200
        assert counted(port, "mmga_serving_requests_total")["GET", "none", "503"] == 1
        leave.set()
        for thread in threads:
            thread.join()
        assert answers == [200, 200]
        assert httpx.get(url).status_code == 200
