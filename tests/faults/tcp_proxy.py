"""A TCP proxy on loopback between our process and a server, which disturbs on order."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from tests.servers.server import LOOPBACK

BLOCK_BYTES = 1 << 16
CONNECT_SECONDS = 5.0
UNANSWERED_SECONDS = 0.5
"""How long a client waits to be cut off where no server answers: else it would come at once."""


@dataclass(slots=True, kw_only=True)
class Message:
    """Bytes that belong together, on their way to the server or to the client."""

    to_server: bool
    content: bytes


class Wire(Protocol):
    """How the two streams of one connection are divided into messages."""

    def client_sent(self, data: bytes) -> list[Any]:
        """The messages that these bytes complete."""

    def server_sent(self, data: bytes) -> list[Any]:
        """The messages that these bytes complete."""


class Bytes:
    """A wire whose messages are the bytes as they come."""

    def client_sent(self, data: bytes) -> list[Message]:
        """See Wire."""
        return [Message(to_server=True, content=data)]

    def server_sent(self, data: bytes) -> list[Message]:
        """See Wire."""
        return [Message(to_server=False, content=data)]


Rule = Callable[[Any], bool]
"""Hears each message before it is passed on, and may wait; False cuts its connection instead."""


def passing(message: Message) -> bool:
    """The rule that disturbs nothing."""
    return True


class Proxy:
    """Passes connections on to a port of loopback, message by message, as its `rule` allows.

    The rule is called in the connection's own threads, at any time; replace it at any time.
    """

    def __init__(
        self, target_port: int, wire: Callable[[], Wire] = Bytes, *, port: int = 0
    ) -> None:
        self.rule: Rule = passing
        self._target = (LOOPBACK, target_port)
        self._wire = wire
        self._flows = threading.Event()
        self._flows.set()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self.port = port
        self._listener = self._listen()

    def cut(self) -> None:
        """Close all connections; new ones are accepted."""
        with self._lock:
            connections, self._open = self._open, set()
        for each in connections:
            _close(each)

    def refuse(self) -> None:
        """Close all connections and refuse new ones."""
        _close(self._listener)
        self.cut()

    def accept(self) -> None:
        """Listen again, on the same port."""
        self._listener = self._listen()

    def stall(self) -> None:
        """Pass nothing on; connections stay open."""
        self._flows.clear()

    def go_on(self) -> None:
        """End stalling."""
        self._flows.set()

    def close(self) -> None:
        """End all threads and connections."""
        self.rule = passing
        self.go_on()
        self.refuse()

    def _listen(self) -> socket.socket:
        listener = socket.create_server((LOOPBACK, self.port), backlog=64)
        self.port = listener.getsockname()[1]
        threading.Thread(target=self._serve, args=(listener,), daemon=True).start()
        return listener

    def _serve(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):  # it was closed
            while True:
                client, _ = listener.accept()
                threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._target, timeout=CONNECT_SECONDS)
        except OSError:
            time.sleep(UNANSWERED_SECONDS)
            _close(client)
            return
        server.settimeout(None)
        for each in (client, server):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._open |= {client, server}
        wire = self._wire()
        for source, target, divide in (
            (client, server, wire.client_sent),
            (server, client, wire.server_sent),
        ):
            threading.Thread(target=self._pump, args=(source, target, divide), daemon=True).start()

    def _pump(
        self,
        source: socket.socket,
        target: socket.socket,
        divide: Callable[[bytes], list[Any]],
    ) -> None:
        try:
            while data := source.recv(BLOCK_BYTES):
                for message in divide(data):
                    self._flows.wait()
                    if not self.rule(message):
                        return
                    target.sendall(message.content)
        except OSError:
            pass  # either end went away
        finally:
            with self._lock:
                self._open -= {source, target}
            _close(source)
            _close(target)


def _close(each: socket.socket) -> None:
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()
