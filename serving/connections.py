"""The server's connections: who holds one without asking anything has it taken away.

uvicorn bounds neither the time nor the size of a request's head, nor the time that a client takes
to read an answer, and it counts idle connections as requests. Here a connection is quiet while the
server waits for its client: for the rest of a request, for the next one, or until an answer is
read. A quiet connection is closed after `QUIET_SECONDS`, or earlier where there are so many that
others could not connect. A body in arrears is answered by the application.
"""

import asyncio
import resource
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from serving.metrics import CROWDED, SILENT, ServingMetrics
from serving.responses import error_body

QUIET_SECONDS = 10.0
MAX_HEAD_BYTES = 65_536
MAX_CONNECTIONS = 4_096
FILES_OF_OTHERS = 128
"""Descriptors that connections leave to stores, logs and the listener."""


class Connection(HttpToolsProtocol):
    """One connection: uvicorn's protocol with bounds of time and size."""

    metrics: ServingMetrics

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count the head's bytes and the quiet time from here."""
        super().connection_made(transport)
        self.quiet_since = self.loop.time()
        self.is_dropped = False
        self._num_unsent = 0
        self._num_head_bytes: int | None = 0
        make_room(self.connections, self)

    def data_received(self, data: bytes) -> None:
        """Parse bytes; a head beyond the limit is refused."""
        if self._num_head_bytes is not None:
            self._num_head_bytes += len(data)
        super().data_received(data)
        if self._num_head_bytes is not None and self._num_head_bytes > MAX_HEAD_BYTES:
            self.refuse(431, f"the head of the request is above {MAX_HEAD_BYTES} bytes: shorten it")

    def on_headers_complete(self) -> None:
        """Hand the request to the application."""
        self._num_head_bytes = None
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Expect another head."""
        self._num_head_bytes = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the client again."""
        self.quiet_since = self.loop.time()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Wait until the client reads."""
        self.quiet_since = self.loop.time()
        super().pause_writing()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP."""
        self.refuse(400, "the request is not valid HTTP/1.1")

    @property
    def is_quiet(self) -> bool:
        """Whether the next step is the client's."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete or self.transport.is_closing():
            return True
        return bool(cycle.more_body or self.flow.write_paused)

    def expire(self, now: float) -> None:
        """Close the connection if it has been quiet for too long."""
        if self._is_reading():
            self.quiet_since = now
        quiet = now - self.quiet_since
        if quiet < QUIET_SECONDS or not self.is_quiet:
            return
        cycle = self.cycle
        has_body_in_arrears = cycle is not None and not cycle.response_started and cycle.more_body
        if has_body_in_arrears and quiet < 3 * QUIET_SECONDS:
            return
        if self._num_head_bytes and not self.transport.is_closing():
            self.refuse(
                408, f"the request did not arrive within {QUIET_SECONDS:.0f} s: send it again"
            )
        else:
            self.drop(SILENT)

    def refuse(self, status_code: int, message: str) -> None:
        """Answer with an error that no application sees, and close."""
        if self.transport.is_closing():
            return
        body = error_body(message)
        head = [
            STATUS_LINE[status_code],
            *(b"%s: %s\r\n" % header for header in self.server_state.default_headers),
            b"content-type: application/json\r\ncache-control: no-store\r\n",
            b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body),
        ]
        self.metrics.refused(status_code)
        self.transport.write(b"".join(head) + body)
        self.transport.close()
        self.quiet_since = self.loop.time()

    def drop(self, reason: str) -> None:
        """Close at once; what was not sent yet is lost."""
        if not self.is_dropped:
            self.is_dropped = True
            self.metrics.dropped(reason)
            self.transport.abort()

    def _is_reading(self) -> bool:
        """Whether the client has read a part of an answer since the last look."""
        before, self._num_unsent = self._num_unsent, self.transport.get_write_buffer_size()
        return 0 < self._num_unsent < before


def protocol(metrics: ServingMetrics) -> type[Connection]:
    """The protocol of a server whose refusals these metrics count."""

    class CountedConnection(Connection):
        pass

    CountedConnection.metrics = metrics
    return CountedConnection


def expire_quiet(connections: set[Any], now: float) -> None:
    """Close the connections that have been quiet for too long; called about once a second."""
    for connection in list(connections):
        connection.expire(now)


def make_room(connections: set[Any], newest: Connection) -> None:
    """Beyond the limit, close those that have been quiet the longest, a tenth at once."""
    limit = max_connections()
    if len(connections) <= limit:
        return
    kept = [each for each in connections if not each.is_dropped]
    if len(kept) <= limit:
        return
    quiet = [each for each in kept if each.is_quiet and each is not newest]
    quiet.sort(key=lambda each: each.quiet_since)
    for connection in quiet[: max(limit // 10, len(kept) - limit)]:
        connection.drop(CROWDED)


def max_connections() -> int:
    """As many as the limit of open files leaves."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else soft - FILES_OF_OTHERS
    return max(16, min(MAX_CONNECTIONS, files))
