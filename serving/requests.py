"""ASGI middleware that every request passes before it is routed.

Client text is bounded here: a body has been read whole, within a size and a time, before the
application sees the request, and only then does the request count as one of those at work.
"""

import asyncio
from urllib.parse import unquote_to_bytes

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.errors import (
    InvalidRequest,
    RequestTooLarge,
    RequestTooSlow,
    ServingError,
    TooManyRequests,
)
from serving.responses import refusal

ALWAYS_ANSWERED = frozenset({"/healthz", "/readyz", "/metrics"})
"""Paths that the limit of requests at work leaves out, so that probes see the server's state."""

BODY_HEADERS = frozenset({b"content-length", b"transfer-encoding"})


class PathAsSent:
    """Routes match the path as the client sent it, so that a user id may hold `%2F`.

    Path parameters are then still percent-encoded.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward the request with its raw path."""
        if scope["type"] == "http" and scope.get("raw_path"):
            scope = {**scope, "path": scope["raw_path"].partition(b"?")[0].decode("latin-1")}
        await self._app(scope, receive, send)


class HeadAsGet:
    """Answers HEAD as GET, without the body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward the request; one whose method is HEAD as a GET."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        scope["method"] = "GET"

        async def without_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        await self._app(scope, receive, without_body)


class WholeRequest:
    """Reads the whole body first, whatever its Content-Length says, within a size and a time."""

    def __init__(self, app: ASGIApp, max_bytes: int, seconds: float) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward the request, or refuse it: query, size, time. A client that left gets nothing."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            check_query(scope["query_string"])
            body = await self._body(scope, receive)
        except ServingError as error:
            await refusal(error)(scope, receive, send)
            return
        if body is not None:
            await self._app(scope, replayed(body, receive), send)

    async def _body(self, scope: Scope, receive: Receive) -> bytes | None:
        """The body, None when the client disconnected before its end."""
        lengths = [value for name, value in scope["headers"] if name in BODY_HEADERS]
        if not lengths:
            return b""
        if any(value.isdigit() and int(value[:20]) > self._max_bytes for value in lengths):
            raise self._too_large()
        try:
            async with asyncio.timeout(self._seconds):
                return await self._received(receive)
        except TimeoutError as error:
            raise RequestTooSlow(
                f"the body did not arrive within {self._seconds:g} s: send it again"
            ) from error

    async def _received(self, receive: Receive) -> bytes | None:
        pieces, num_bytes, more = [], 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            pieces.append(message.get("body", b""))
            num_bytes += len(pieces[-1])
            if num_bytes > self._max_bytes:
                raise self._too_large()
            more = message.get("more_body", False)
        return b"".join(pieces)

    def _too_large(self) -> RequestTooLarge:
        return RequestTooLarge(f"the body is above {self._max_bytes} bytes: ask in pieces")


def check_query(query: bytes) -> None:
    """Raises InvalidRequest for a query whose text is not UTF-8, which would read as other text."""
    if not query:
        return
    try:
        query.decode("ascii")
        unquote_to_bytes(query).decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest("the query of the URL is not percent-encoded UTF-8") from error


def replayed(body: bytes, receive: Receive) -> Receive:
    """Receives a body that was read before, then what comes after it."""
    is_read = False

    async def again() -> Message:
        nonlocal is_read
        if is_read:
            return await receive()
        is_read = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


class RequestLimit:
    """Refuses requests beyond a number at work at once, instead of queueing them.

    A request is at work from its last byte to the first byte of its answer: connections do not
    count, nor do clients that are slow to send or to read.
    """

    def __init__(self, app: ASGIApp, max_requests: int) -> None:
        self._app = app
        self._max_requests = max_requests
        self._num_at_work = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward the request, or refuse it."""
        if scope["type"] != "http" or scope["path"] in ALWAYS_ANSWERED:
            await self._app(scope, receive, send)
            return
        if self._num_at_work >= self._max_requests:
            error = TooManyRequests(f"{self._num_at_work} requests are at work: try again later")
            await refusal(error)(scope, receive, send)
            return
        self._num_at_work += 1
        at_work = True

        def done() -> None:
            nonlocal at_work
            self._num_at_work -= at_work
            at_work = False

        async def answer(message: Message) -> None:
            done()
            await send(message)

        try:
            await self._app(scope, receive, answer)
        finally:
            done()
