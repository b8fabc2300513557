"""compose.yaml is valid, safe by default, and names commands, options and files that exist."""

import json
import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

import mmga
from tests.compose.compose_file import (
    COMPOSE,
    ROOT,
    document,
    env_example,
    raw_document,
    text,
    with_secrets,
)
from tests.servers import kafka, neo4j

DCLINT = ["npx", "--yes", "dclint@3.1.0", "--quiet", "--formatter", "json"]
FILLED = document(with_secrets("secret"))
SERVICES: dict[str, dict[str, Any]] = FILLED["services"]
OURS = sorted(name for name, service in SERVICES.items() if "build" in service)
LASTING = sorted(name for name in SERVICES if name != "topics")
CANNOT_BE_READ_ONLY = {"kafka", "neo4j"}
"""Their images write their configuration from the environment when they start."""

Break = Callable[[dict[str, Any]], object]
BROKEN: dict[str, Break] = {
    "unknown key": lambda s: s["ingest"]["healthcheck"].update(intervall="3s"),
    "unknown service key": lambda s: s["redis"].update(memlimit="1g"),
    "wrong type": lambda s: s["serving"].update(ports=8000),
    "unknown condition": lambda s: s["serving"]["depends_on"]["ingest"].update(condition="well"),
    "no tag": lambda s: s["redis"].update(image="redis"),
    "a port twice": lambda s: s["serving"].update(ports=["127.0.0.1:7687:8000"]),
}

RULES = {
    "no tag": "service-image-require-explicit-tag",
    "a port twice": "no-duplicate-exported-ports",
}


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What the Compose specification has against our file, and against each broken one."""
    folder = tmp_path_factory.mktemp("compose")
    shutil.copy(COMPOSE, folder / "ours.yaml")
    for fault, break_ in BROKEN.items():
        broken = raw_document()
        break_(broken["services"])
        (folder / f"{fault}.yaml").write_text(yaml.safe_dump(broken, sort_keys=False))
    if shutil.which("npx") is None:
        no_dclint("npx is not installed: install Node.js 20 with npm")
    done = subprocess.run(
        [*DCLINT, *map(str, sorted(folder.iterdir()))],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if "npm error" in done.stderr:
        no_dclint(done.stderr)
    found = {
        Path(each["filePath"]).stem: [message["rule"] for message in each["messages"]]
        for each in json.loads(done.stdout)
    }
    return {"ours": [], **found}  # files without a finding are not listed


def no_dclint(reason: str) -> None:
    if os.environ.get("MMGA_REQUIRE_SERVERS") == "1":
        pytest.fail(f"dclint cannot be had: {reason}", pytrace=False)
    pytest.skip(f"dclint cannot be had: {reason}")


class TestSpecification:
    @pytest.mark.slow
    def test_the_file_is_valid(self, findings: dict[str, list[str]]) -> None:
        assert findings["ours"] == []

    @pytest.mark.slow
    @pytest.mark.parametrize("fault", BROKEN)
    def test_a_broken_file_is_not(self, fault: str, findings: dict[str, list[str]]) -> None:
        assert findings[fault] == [RULES.get(fault, "invalid-schema")]

    @pytest.mark.parametrize("name", SERVICES)
    def test_what_a_service_refers_to_is_there(self, name: str) -> None:
        service = SERVICES[name]
        for other, wait in service.get("depends_on", {}).items():
            assert wait["condition"] == "service_completed_successfully" or (
                "healthcheck" in SERVICES[other]
            )
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if not source.startswith("."):
                assert source in FILLED["volumes"]
            elif source != "./media":  # made by the engine
                assert (ROOT / source).exists()


class TestSafety:
    @pytest.mark.parametrize("name", SERVICES)
    def test_ports_are_bound_to_loopback(self, name: str) -> None:
        for port in SERVICES[name].get("ports", []):
            assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)

    @pytest.mark.parametrize("name", SERVICES)
    def test_images_are_pinned_and_run_without_root(self, name: str) -> None:
        service = SERVICES[name]
        if name in OURS:
            assert re.search(r"^USER mmga$", dockerfile(), re.MULTILINE)
        else:
            assert re.search(r":v?\d+\.\d+", service["image"])
            # Kafka's image is made for a user of its own.
            assert name == "kafka" or not service["user"].startswith("0")
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service.get("read_only") or name in CANNOT_BE_READ_ONLY

    @pytest.mark.parametrize("name", SERVICES)
    def test_memory_and_cores_are_limited(self, name: str) -> None:
        assert SERVICES[name]["mem_limit"]
        assert SERVICES[name]["cpus"]

    @pytest.mark.parametrize("name", LASTING)
    def test_what_lasts_is_checked_and_comes_back(self, name: str) -> None:
        assert SERVICES[name]["healthcheck"]["test"]
        assert SERVICES[name]["restart"] == "unless-stopped"

    @pytest.mark.parametrize("secret", sorted(env_example().secrets))
    def test_nothing_starts_without_a_secret(self, secret: str) -> None:
        uses = re.findall(rf"\$\{{{secret}\b[^}}]*\}}", text())
        assert uses
        assert set(uses) == {f"${{{secret}:?set it in .env}}"}

    def test_no_secret_has_a_value(self) -> None:
        words = re.compile(r"(PASSWORD|TOKEN|SECRET|KEY)")
        assert {name for name in env_example().names if words.search(name)} <= env_example().secrets
        given = {
            value
            for service in raw_document()["services"].values()
            for name, value in service.get("environment", {}).items()
            if words.search(name)
        }
        assert given
        assert all(":?" in value for value in given)


class TestServers:
    def test_they_are_of_the_versions_that_tests_run_against(self) -> None:
        assert SERVICES["kafka"]["image"] == f"apache/kafka:{kafka.VERSION}"
        assert SERVICES["neo4j"]["image"] == f"neo4j:{neo4j.LTS}-community"


class TestOurs:
    @pytest.mark.parametrize("name", [name for name in OURS if "trainer" not in name])
    def test_each_runs_a_command_of_ours_with_options_it_has(self, name: str) -> None:
        word, *arguments = SERVICES[name]["command"]
        command = mmga.cli.get_command(click.Context(mmga.cli), word)
        assert command is not None
        context = command.make_context(word, arguments, resilient_parsing=False)
        assert not context.args

    @pytest.mark.parametrize("name", OURS)
    def test_its_role_is_an_extra(self, name: str) -> None:
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
            "optional-dependencies"
        ]
        role = SERVICES[name]["build"]["args"]["ROLE"]
        (installed,) = re.findall(r'"\.\[\$\{ROLE\},([a-z0-9,]+)\]"', dockerfile())
        assert {role, *installed.split(",")} <= set(extras)

    def test_the_image_is_made_of_files_that_reach_it(self) -> None:
        ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        allowed = {line[1:].rstrip("/") for line in ignored if line.startswith("!")}
        copied = [
            word
            for line in re.findall(r"^COPY (?!--from)(.*) \S+$", dockerfile(), re.MULTILINE)
            for word in line.split()
        ]
        assert set(copied) == allowed
        for name in copied:
            assert (ROOT / name).exists()


def dockerfile() -> str:
    return (ROOT / "Dockerfile").read_text(encoding="utf-8")
