"""Metrics of a worker that follows, for Prometheus, and whether it is alive.

`/metrics` holds counters of this process; `/healthz` answers 200 while passes over the source come
to their end, with or without events, and 503 when none has for a while: a worker that waits for a
server, or hangs, is not healthy however alive its process is.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from graphdb.consumer import PassReport
from ingest.errors import MetricsAddressTaken
from ingest.pipeline import BatchReport
from ingest.sources.source import Extent

MAX_PASS_SECONDS = 60.0
"""How long the newest finished pass may lie back before a worker counts as stuck."""
COMMIT_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

StartResponse = Callable[[str, list[tuple[str, str]]], Any]


class IngestMetrics:
    """Counts what one worker does, in a registry of its own."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.registry = CollectorRegistry()
        self._clock = clock
        self._passed = clock()
        self._events = Counter(
            "mmga_ingest_events",
            "Events read, by what became of them.",
            ["outcome"],
            registry=self.registry,
        )
        self._commits = Counter(
            "mmga_ingest_commits", "Batches committed to the graph.", registry=self.registry
        )
        self._seconds = Histogram(
            "mmga_ingest_commit_seconds",
            "Seconds from a batch that has been read to its commit.",
            buckets=COMMIT_SECONDS,
            registry=self.registry,
        )
        self._version = Gauge(
            "mmga_ingest_graph_version",
            "Graph version of this worker's newest commit.",
            registry=self.registry,
        )
        self._lag = Gauge(
            "mmga_ingest_lag",
            "What this worker has still to read: messages of Kafka, bytes of files.",
            registry=self.registry,
        )
        self._projected_users = Counter(
            "mmga_statistics_users",
            "Users whose statistics were projected again.",
            registry=self.registry,
        )
        self._projected_seconds = Histogram(
            "mmga_statistics_pass_seconds",
            "Seconds of a pass of the statistics, from the head that it read to its watermark.",
            buckets=COMMIT_SECONDS,
            registry=self.registry,
        )
        self._projected_version = Gauge(
            "mmga_statistics_graph_version",
            "Graph version up to which the statistics are projected.",
            registry=self.registry,
        )
        Gauge(
            "mmga_ingest_pass_age_seconds",
            "Seconds since a pass over the source came to its end.",
            registry=self.registry,
        ).set_function(self.pass_age_seconds)
        for outcome in ("applied", "superseded", "dead_letter"):
            self._events.labels(outcome)

    def observe(self, report: BatchReport, seconds: float, extent: Extent) -> None:
        """Count a committed batch."""
        self._events.labels("applied").inc(report.num_applied)
        self._events.labels("superseded").inc(report.num_superseded)
        self._events.labels("dead_letter").inc(report.num_dead_letters)
        self._commits.inc()
        self._seconds.observe(seconds)
        self._version.set(report.version)
        self.passed(extent)

    def passed(self, extent: Extent) -> None:
        """A pass came to its end: a batch was committed, or there was nothing to read."""
        self._lag.set(max(0, extent.total - extent.done))
        self._passed = self._clock()

    def projected(self, report: PassReport) -> None:
        """Count a pass of the statistics, which this worker's own process has made."""
        self._projected_users.inc(report.num_keys)
        self._projected_seconds.observe(report.seconds)
        self._projected_version.set(report.watermark.version)

    def pass_age_seconds(self) -> float:
        """Seconds since the newest pass that came to its end, or since the start."""
        return self._clock() - self._passed

    def is_healthy(self) -> bool:
        """Whether passes come to their end."""
        return self.pass_age_seconds() <= MAX_PASS_SECONDS


@contextmanager
def metrics_endpoint(metrics: IngestMetrics, host: str, port: int) -> Iterator[str]:
    """Answer on host and port in a thread of its own; gives the address. Port 0 takes a free one.

    Raises MetricsAddressTaken.
    """
    try:
        server = make_server(
            host,
            port,
            _application(metrics),
            server_class=ThreadingWSGIServer,
            handler_class=_QuietHandler,
        )
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise MetricsAddressTaken(
            f"cannot listen for metrics on {host} port {port} ({reason}): choose another with "
            "MMGA_METRICS_HOST and MMGA_METRICS_PORT"
        ) from error
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield f"http://{host}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def _application(metrics: IngestMetrics) -> Callable[..., Iterable[bytes]]:
    exposition = make_wsgi_app(metrics.registry)

    def answer(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/metrics":
            found: Iterable[bytes] = exposition(environ, start_response)
            return found
        if environ["PATH_INFO"] != "/healthz":
            return _text(start_response, "404 Not Found", "there is /metrics and /healthz")
        status = "200 OK" if metrics.is_healthy() else "503 Service Unavailable"
        age = metrics.pass_age_seconds()
        return _text(start_response, status, f"the newest pass ended {age:.1f} s ago")

    return answer


def _text(start_response: StartResponse, status: str, text: str) -> Iterable[bytes]:
    body = f"{text}\n".encode()
    start_response(
        status,
        [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))],
    )
    return [body]


class _QuietHandler(WSGIRequestHandler):
    """Logs no request: a scrape every few seconds would drown what matters."""

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""
