"""The HTTP server: one process on a socket bound before, stopped by SIGTERM or Ctrl-C."""

import gc
import signal
import socket
from types import FrameType

import uvicorn
from fastapi import FastAPI

from serving.errors import AddressTaken

MAX_CONCURRENT_REQUESTS = 256
"""Requests beyond it are answered 503 at once instead of queueing."""


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to the address; port 0 takes a free one. Raises AddressTaken."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise AddressTaken(
            f"cannot listen on {host} port {port} ({reason}): choose another with --host or --port"
        ) from error
    return listener


def serve(app: FastAPI, listener: socket.socket, *, shutdown_seconds: int) -> None:
    """Answer requests until SIGTERM or SIGINT, then finish those in flight and return."""
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            limit_concurrency=MAX_CONCURRENT_REQUESTS,
            timeout_graceful_shutdown=shutdown_seconds,
        )
    )

    def stop(number: int, frame: FrameType | None) -> None:
        server.should_exit = True

    # uvicorn handles these while it runs and raises them again when it has stopped: this handler
    # covers the time before and after, so that a signal to stop exits with status 0.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    gc.collect()
    gc.freeze()  # what start-up made is never garbage: collections need not walk it again
    server.run(sockets=[listener])


def address_of(listener: socket.socket) -> str:
    """The URL under which the server answers."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
