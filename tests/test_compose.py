"""compose.yaml is valid, safe by default, and names commands, options and files that exist."""

import fnmatch
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
from tests.compose.composefile import (
    COMPOSE,
    ROOT,
    VariableMissing,
    document,
    env_example,
    interpolated,
    raw_document,
)

DCLINT = ["npx", "--yes", "dclint@3.1.0", "--quiet", "--formatter", "json"]
FILLED = document({**env_example().values, **dict.fromkeys(env_example().secrets, "secret")})
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

    def test_every_volume_is_used(self) -> None:
        used = {each.split(":")[0] for s in SERVICES.values() for each in s.get("volumes", [])}
        assert set(FILLED["volumes"]) <= used


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
        given = {**env_example().values, **dict.fromkeys(env_example().secrets, "secret")}
        for without in ({**given, secret: ""}, {k: v for k, v in given.items() if k != secret}):
            with pytest.raises(VariableMissing, match=secret):
                document(without)

    def test_no_secret_has_a_default(self) -> None:
        words = re.compile(r"(PASSWORD|TOKEN|SECRET|KEY)")
        for name in env_example().names:
            if words.search(name):
                assert name in env_example().secrets
        for service in raw_document()["services"].values():
            for name, value in service.get("environment", {}).items():
                if words.search(name):
                    assert ":?" in value


class TestOurs:
    def test_they_are_these(self) -> None:
        assert OURS == ["ingest", "serving", "topics", "trainer", "trainer-gpu"]

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

    def test_the_gpu_profile_changes_nothing_else(self) -> None:
        trainer, gpu = SERVICES["trainer"], dict(SERVICES["trainer-gpu"])
        assert gpu.pop("profiles") == ["gpu"]
        (device,) = gpu.pop("deploy")["resources"]["reservations"]["devices"]
        assert device["capabilities"] == ["gpu"]
        assert gpu == trainer

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
        later = ignored[ignored.index("*") + 1 :]
        for path in (p for name in copied for p in (ROOT / name).rglob("*.py")):
            relative = str(path.relative_to(ROOT))
            hidden = [line for line in later if not line.startswith("!")]
            assert not any(fnmatch.fnmatch(relative, f"{line.rstrip('/')}/*") for line in hidden)


class TestInterpolation:
    """The stand-in for Compose fills variables in as Compose does."""

    @pytest.mark.parametrize(
        ("text", "variables", "expected"),
        [
            ("a${B}c", {"B": "x"}, "axc"),
            ("${B}", {}, ""),
            ("${B:-d}", {"B": ""}, "d"),
            ("${B-d}", {"B": ""}, ""),
            ("${B:?m}", {"B": "x"}, "x"),
            ("$$B $$(c)", {}, "$B $(c)"),
        ],
    )
    def test_values(self, text: str, variables: dict[str, str], expected: str) -> None:
        assert interpolated(text, variables) == expected

    def test_required(self) -> None:
        with pytest.raises(VariableMissing, match="B: set it"):
            interpolated("${B:?set it}", {})

    def test_a_lone_dollar_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="dollar"):
            interpolated("$(redis-cli ping)", {})


def dockerfile() -> str:
    return (ROOT / "Dockerfile").read_text(encoding="utf-8")
