"""What the last lines of a test run say: each server, the version that it named, and how many
tests ran against it.

A test runs against a server when it uses its fixture, or says so: `@pytest.mark.servers("Kafka")`
for one that it starts itself. With MMGA_REQUIRE_SERVERS=1 a whole run without any test against one
of them has failed.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.servers import kafka, neo4j, postgres, redis
from tests.servers.artifacts import find_java
from tests.servers.server import ServerMissing


@dataclass(slots=True)
class Tested:
    """A server in this run: its fixture, version, and tests that ran against it or were skipped."""

    fixture: str
    version: str = ""
    num_run: int = 0
    num_skipped: int = 0
    is_required: bool = True


PROPERTY = "server"
TESTED = {
    neo4j.NAME: Tested("neo4j_server"),
    neo4j.CALENDAR_NAME: Tested("neo4j_calendar_server"),
    kafka.NAME: Tested("kafka_server"),
    redis.NAME: Tested("redis_server"),
    postgres.NAME: Tested("postgres_server"),
}


def pytest_configure(config: pytest.Config) -> None:
    """The calendar release is asked for only where a Java that it needs is found."""
    try:
        find_java(neo4j.CALENDAR_JAVA)
    except ServerMissing:
        TESTED[neo4j.CALENDAR_NAME].is_required = False


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that use a server."""
    for item in items:
        names = [name for name, tested in TESTED.items() if tested.fixture in _fixtures(item)]
        if names:
            item.add_marker(pytest.mark.servers(*names))


def _fixtures(item: pytest.Item) -> list[str]:
    return getattr(item, "fixturenames", [])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[pytest.TestReport]:
    """Write into the report which servers the test is for, and the version that each named."""
    report = yield
    names = {name for mark in item.iter_markers("servers") for name in mark.args}
    report.user_properties += [(PROPERTY, (name, TESTED[name].version)) for name in sorted(names)]
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count tests that ran, and those that were left out.

    Reports of several processes (pytest-xdist) come to the one that prints the summary.
    """
    for name, version in (value for key, value in report.user_properties if key == PROPERTY):
        tested = TESTED[name]
        tested.version = tested.version or version
        if report.skipped:
            tested.num_skipped += 1
        elif report.when == "call":
            tested.num_run += 1


def _is_whole(config: pytest.Config) -> bool:
    """Whether all tests were asked for, and this process sees the reports of all."""
    chosen = config.option.keyword or config.option.markexpr or config.option.collectonly
    is_part = hasattr(config, "workerinput")
    return not (chosen or is_part) and config.args == config.getini("testpaths")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A whole run that must have servers and tested none has failed."""
    if os.environ.get("MMGA_REQUIRE_SERVERS") != "1" or not _is_whole(session.config):
        return
    if any(each.is_required and not each.num_run for each in TESTED.values()):
        session.exitstatus = exitstatus or pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A line a server."""
    if not any(each.num_run or each.num_skipped for each in TESTED.values()) and not _is_whole(
        terminalreporter.config
    ):
        return
    terminalreporter.section("servers")
    for name, tested in TESTED.items():
        left_out = f", {tested.num_skipped} left out" if tested.num_skipped else ""
        version = tested.version or "was not started"
        terminalreporter.write_line(f"{name} {version}: {tested.num_run} tests{left_out}")
