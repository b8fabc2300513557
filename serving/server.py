"""The HTTP server: one process on a socket bound before, stopped by SIGTERM or Ctrl-C."""

import asyncio
import gc
import signal
import socket
from types import FrameType

import uvicorn
from fastapi import FastAPI

from serving.connections import QUIET_SECONDS, expire_quiet, protocol
from serving.errors import AddressTaken
from serving.metrics import ServingMetrics

TICKS_A_SECOND = 10


class Server(uvicorn.Server):
    """uvicorn's server, which closes quiet connections about once a second."""

    async def on_tick(self, counter: int) -> bool:
        """uvicorn calls it ten times a second."""
        if counter % TICKS_A_SECOND == 0:
            expire_quiet(self.server_state.connections, asyncio.get_running_loop().time())
        return await super().on_tick(counter)


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
    server = server_of(app, shutdown_seconds=shutdown_seconds)

    def stop(number: int, frame: FrameType | None) -> None:
        server.should_exit = True

    # uvicorn handles these while it runs and raises them again when it has stopped: this handler
    # covers the time before and after, so that a signal to stop exits with status 0.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    gc.collect()
    gc.freeze()  # what start-up made is never garbage: collections need not walk it again
    server.run(sockets=[listener])


def server_of(app: FastAPI, *, shutdown_seconds: int) -> Server:
    """The server of an application; its metrics count what the application does not see.

    What uvicorn would warn of is a client's doing, and is counted instead of logged.
    """
    metrics: ServingMetrics = app.state.metrics
    return Server(
        uvicorn.Config(
            app,
            http=protocol(metrics),
            ws="none",
            log_level="error",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=int(QUIET_SECONDS),
            timeout_graceful_shutdown=shutdown_seconds,
        )
    )


def address_of(listener: socket.socket) -> str:
    """The URL under which the server answers."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
