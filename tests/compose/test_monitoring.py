"""Prometheus scrapes what there is, and the dashboard shows what is exported."""

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from ingest.metrics import IngestMetrics, metrics_endpoint
from ingest.pipeline import BatchReport
from ingest.sources.source import Extent
from serving.app import create_app
from serving.services import open_services
from tests.compose.compose_file import ROOT, raw_document
from tests.serving.conftest import USERS
from tests.serving.published import Home, random_vectors

MONITORING = ROOT / "serving" / "monitoring"
SERVICES = raw_document()["services"]


def yaml_of(*path: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(MONITORING.joinpath(*path).read_text(encoding="utf-8"))
    return found


def dashboard() -> dict[str, Any]:
    path = MONITORING / "grafana" / "dashboards" / "mmga.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def queries() -> list[str]:
    return [t["expr"] for panel in dashboard()["panels"] for t in panel.get("targets", [])]


def exported(text: str) -> dict[str, set[str]]:
    """The labels of each sample's name in an exposition."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """What both endpoints answer, after some work."""
    ingest = IngestMetrics()
    report = BatchReport(
        num_events=4, num_applied=2, num_superseded=1, num_dead_letters=1, version=7
    )
    ingest.observe(report, 0.1, Extent(done=4, total=9))
    with metrics_endpoint(ingest, "127.0.0.1", 0) as address:
        found = exported(httpx.get(f"{address}/metrics").text)
    home = Home(Path(tmp_path_factory.mktemp("home")))
    home.write_statistics(USERS)
    home.publish("g1", USERS, random_vectors(len(USERS)))
    with open_services(home.serving_settings) as services:
        app = create_app(services, home.serving_settings)
        client = TestClient(app)
        client.get("/v1/users/ann")
        found |= exported(client.get("/metrics").text)
    home.online.close()
    return found


class TestDashboard:
    @pytest.mark.parametrize("query", queries())
    def test_a_query_names_metrics_that_are_exported(
        self, query: str, metrics: dict[str, set[str]]
    ) -> None:
        names = re.findall(r"\bmmga_\w+", query)
        assert names
        assert set(names) <= set(metrics)

    @pytest.mark.parametrize("query", queries())
    def test_a_query_groups_by_labels_that_they_have(
        self, query: str, metrics: dict[str, set[str]]
    ) -> None:
        (labels,) = {frozenset(metrics[name]) for name in re.findall(r"\bmmga_\w+", query)}
        grouped = {
            label.strip()
            for group in re.findall(r"\bby \(([^)]*)\)", query)
            for label in group.split(",")
        }
        selected = set(re.findall(r"(\w+)=\"", query))
        assert grouped | selected <= labels

    def test_every_metric_of_ours_is_shown(self, metrics: dict[str, set[str]]) -> None:
        shown = set(re.findall(r"\bmmga_\w+", " ".join(queries())))
        for name in metrics:
            family = re.sub(r"_(total|created|bucket|count|sum)$", "", name)
            assert any(each.startswith(family) for each in shown), name

    def test_its_source_is_provisioned(self) -> None:
        (source,) = yaml_of("grafana", "provisioning", "datasources", "prometheus.yml")[
            "datasources"
        ]
        named = {
            t["datasource"]["uid"] for p in dashboard()["panels"] for t in p.get("targets", [])
        }
        assert named == {source["uid"]}
        host, port = re.fullmatch(r"http://([\w-]+):(\d+)", source["url"]).groups()  # type: ignore[union-attr]
        assert f"127.0.0.1:{port}:{port}" in SERVICES[host]["ports"]

    def test_panels_do_not_overlap(self) -> None:
        taken: set[tuple[int, int]] = set()
        for panel in dashboard()["panels"]:
            at = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(at["x"], at["x"] + at["w"])
                for y in range(at["y"], at["y"] + at["h"])
            }
            assert not cells & taken
            taken |= cells
        assert max(x for x, _ in taken) < 24


class TestProvisioning:
    def test_files_are_mounted_where_they_are_looked_for(self) -> None:
        mounted = dict(
            volume.removesuffix(":ro").split(":")
            for name in ("prometheus", "grafana")
            for volume in SERVICES[name]["volumes"]
        )
        (provider,) = yaml_of("grafana", "provisioning", "dashboards", "mmga.yml")["providers"]
        assert provider["options"]["path"] == mounted["./serving/monitoring/grafana/dashboards"]
        home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
        assert home == f"{provider['options']['path']}/mmga.json"
        configuration = mounted["./serving/monitoring/prometheus.yml"]
        assert f"--config.file={configuration}" in SERVICES["prometheus"]["command"]


class TestTargets:
    def test_each_is_a_service_with_that_port(self) -> None:
        found = {}
        for job in yaml_of("prometheus.yml")["scrape_configs"]:
            for each in job.get("dns_sd_configs", []):
                found |= dict.fromkeys(each["names"], each["port"])
            for each in job.get("static_configs", []):
                found |= {t.split(":")[0]: int(t.split(":")[1]) for t in each["targets"]}
        assert found == {
            "ingest": int(SERVICES["ingest"]["environment"]["MMGA_METRICS_PORT"]),
            "serving": int(SERVICES["serving"]["command"][-1]),
        }
        # It listens beyond its container, but on no port of the machine.
        assert SERVICES["ingest"]["environment"]["MMGA_METRICS_HOST"] == "0.0.0.0"
        assert "ports" not in SERVICES["ingest"]
