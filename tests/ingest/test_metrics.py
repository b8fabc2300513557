"""What Prometheus and a health check read from a worker that follows."""

import socket
from collections.abc import Iterator

import httpx
import pytest

from foundation.watermark import Watermark
from graphdb.consumer import PassReport
from ingest.errors import MetricsAddressTaken
from ingest.metrics import MAX_PASS_SECONDS, IngestMetrics, metrics_endpoint
from ingest.pipeline import BatchReport
from ingest.sources.source import Extent


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def metrics(clock: Clock) -> IngestMetrics:
    return IngestMetrics(clock)


@pytest.fixture
def address(metrics: IngestMetrics) -> Iterator[str]:
    with metrics_endpoint(metrics, "127.0.0.1", 0) as found:
        yield found


def report(version: int) -> BatchReport:
    return BatchReport(
        num_events=10, num_applied=6, num_superseded=3, num_dead_letters=1, version=version
    )


def samples(address: str) -> dict[str, float]:
    lines = httpx.get(f"{address}/metrics").text.splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def test_batches_are_counted(metrics: IngestMetrics, address: str) -> None:
    before = samples(address)
    assert before['mmga_ingest_events_total{outcome="dead_letter"}'] == 0
    metrics.observe(report(7), 0.02, Extent(done=10, total=50))
    metrics.observe(report(8), 0.2, Extent(done=20, total=50))
    found = samples(address)
    assert found['mmga_ingest_events_total{outcome="applied"}'] == 12
    assert found['mmga_ingest_events_total{outcome="superseded"}'] == 6
    assert found['mmga_ingest_events_total{outcome="dead_letter"}'] == 2
    assert found["mmga_ingest_commits_total"] == 2
    assert found['mmga_ingest_commit_seconds_bucket{le="0.1"}'] == 1
    assert found["mmga_ingest_commit_seconds_sum"] == pytest.approx(0.22)
    assert found["mmga_ingest_graph_version"] == 8
    assert found["mmga_ingest_lag"] == 30


def test_passes_of_the_statistics_are_counted(metrics: IngestMetrics, address: str) -> None:
    for version in (7, 9):
        mark = Watermark(graph_id="g", version=version, commit_time=1)
        metrics.projected(PassReport(watermark=mark, num_keys=40, rebuilt=False, seconds=0.2))
    found = samples(address)
    assert found["mmga_statistics_users_total"] == 80
    assert found["mmga_statistics_pass_seconds_sum"] == pytest.approx(0.4)
    assert found["mmga_statistics_graph_version"] == 9


def test_an_idle_worker_is_healthy(metrics: IngestMetrics, address: str, clock: Clock) -> None:
    for _ in range(5):
        clock.now += MAX_PASS_SECONDS
        metrics.passed(Extent(done=50, total=50))
        assert httpx.get(f"{address}/healthz").status_code == 200
    assert samples(address)["mmga_ingest_lag"] == 0


def test_a_worker_that_hangs_is_not(metrics: IngestMetrics, address: str, clock: Clock) -> None:
    assert httpx.get(f"{address}/healthz").status_code == 200
    clock.now += MAX_PASS_SECONDS + 1
    stuck = httpx.get(f"{address}/healthz")
    assert (stuck.status_code, stuck.text) == (503, "the newest pass ended 61.0 s ago\n")
    assert samples(address)["mmga_ingest_pass_age_seconds"] == 61
    metrics.observe(report(9), 1.0, Extent(done=50, total=50))
    assert httpx.get(f"{address}/healthz").status_code == 200


def test_a_restored_graph_may_be_younger(metrics: IngestMetrics, address: str) -> None:
    metrics.observe(report(9), 1.0, Extent(done=1, total=1))
    metrics.observe(report(2), 1.0, Extent(done=1, total=1))
    assert samples(address)["mmga_ingest_graph_version"] == 2


def test_other_paths(address: str) -> None:
    assert httpx.get(f"{address}/").status_code == 404


def test_a_taken_port_is_one_line(metrics: IngestMetrics) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with (
            pytest.raises(MetricsAddressTaken, match=rf"127\.0\.0\.1 port {port} .*MMGA_METRICS"),
            metrics_endpoint(metrics, "127.0.0.1", port),
        ):
            pass


def test_the_port_is_free_again_afterwards(metrics: IngestMetrics) -> None:
    with metrics_endpoint(metrics, "127.0.0.1", 0) as address:
        port = int(address.rpartition(":")[2])
    with metrics_endpoint(metrics, "127.0.0.1", port) as again:
        assert httpx.get(f"{again}/healthz").status_code == 200
