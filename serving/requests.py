"""ASGI middleware that every request passes: the raw path and the limit of the body."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.errors import RequestTooLarge


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


class BodyLimit:
    """Stops reading a body at the limit, whatever its Content-Length."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward the request; reading more than the limit raises RequestTooLarge."""
        num_bytes = 0

        async def limited() -> Message:
            nonlocal num_bytes
            message = await receive()
            num_bytes += len(message.get("body", b""))
            if num_bytes > self._max_bytes:
                raise RequestTooLarge(f"the body is above {self._max_bytes} bytes: ask in pieces")
            return message

        await self._app(scope, limited, send)
