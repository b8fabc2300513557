"""Prometheus metrics of serving: requests, latencies and the staleness of what is served."""

import logging
import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from featurestore.errors import FeatureStoreError
from serving.generation_metrics import GenerationMetrics, StageRunMetrics
from serving.services import Services

logger = logging.getLogger(__name__)

REQUEST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST"})
NONE_OF_OURS = "none"
"""The label of unknown routes and methods, so that clients cannot create series."""

SILENT, CROWDED = "silent", "crowded"
"""Why the server drops a connection."""

CLIENT_LEFT = 499
"""The status, as nginx has it, of a request whose client disconnected before the answer."""


class ServingMetrics:
    """Counts the answers of one process, in a registry of its own."""

    def __init__(self, services: Services) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "mmga_serving_requests",
            "Requests answered.",
            ["route", "method", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "mmga_serving_request_seconds",
            "Seconds from a request to the end of its answer.",
            ["route"],
            buckets=REQUEST_SECONDS,
            registry=self._registry,
        )
        self._dropped = Counter(
            "mmga_serving_connections_dropped",
            "Connections closed because the client was silent, or to make room for others.",
            ["reason"],
            registry=self._registry,
        )
        for reason in (SILENT, CROWDED):  # a series that begins at 1 would show no increase
            self._dropped.labels(reason)
        self._registry.register(Staleness(services))
        self._registry.register(
            GenerationMetrics(services.generations, services.online, services.graph_head)
        )
        self._registry.register(StageRunMetrics(services.home))

    def observe(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one answer."""
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def refused(self, status: int) -> None:
        """Count a request that was refused before its head was complete."""
        self._requests.labels(NONE_OF_OURS, NONE_OF_OURS, str(status)).inc()

    def dropped(self, reason: str) -> None:
        """Count a connection that the server closed."""
        self._dropped.labels(reason).inc()

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)


class Staleness(Collector):
    """The active generation and the staleness of what is served, read at each scrape.

    Both are absent while the feature store cannot be read; the counters are not.
    """

    def __init__(self, services: Services) -> None:
        self._services = services

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The families without samples: registering them reads nothing."""
        yield from self._families()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The families with their current samples."""
        staleness, generation = self._families()
        try:
            active = self._services.published.active()
            stages = self._services.lookup.staleness(active)
        except FeatureStoreError as error:
            logger.warning("metrics without staleness: %s", error)
            return
        for stage, seconds in stages.items():
            if seconds is not None:
                staleness.add_metric([stage], seconds)
        if active is not None:
            generation.add_metric([active.id], 1)
        yield staleness
        yield generation

    def _families(self) -> tuple[GaugeMetricFamily, GaugeMetricFamily]:
        return (
            GaugeMetricFamily(
                "mmga_serving_staleness_seconds",
                "Upper bound on the age of the oldest change that served features lack.",
                labels=["stage"],
            ),
            GaugeMetricFamily(
                "mmga_serving_generation", "1 for the active generation.", labels=["generation"]
            ),
        )


class CountRequests:
    """Counts each HTTP request under its route's template, never under its path."""

    def __init__(self, app: ASGIApp, metrics: ServingMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward the request and count its answer; one that raises counts as 500."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in METHODS else NONE_OF_OURS
        started, status = time.perf_counter(), CLIENT_LEFT

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception:
            status = 500
            raise
        finally:
            seconds = time.perf_counter() - started
            route = getattr(scope.get("route"), "path", NONE_OF_OURS)
            self._metrics.observe(route, method, status, seconds)
