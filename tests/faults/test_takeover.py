"""Several workers: partitions that move, and a worker that wakes up when they are another's."""

import time

import pytest

from tests.faults.bolt_wire import BoltMessage
from tests.faults.event_set import make_events
from tests.faults.scenario import Scenario
from tests.faults.signals import Moment, Stop, has_committed, holds_lock
from tests.faults.worker import wait_until

pytestmark = [pytest.mark.servers("Neo4j", "Kafka"), pytest.mark.timeout(300)]

ASKED_TIMEOUT = b"\x8atx_timeout\xc9" + (30_000).to_bytes(2, "big")
SHORT_TIMEOUT = b"\x8atx_timeout\xc9" + (4_000).to_bytes(2, "big")
"""Milliseconds after which the server ends a transaction of the stopped worker; each as long."""


@pytest.mark.slow
def test_workers_join_and_die(scenario: Scenario) -> None:
    scenario.publish(make_events(500, seed=41))
    first = scenario.start_worker()
    first.until(lambda: scenario.num_read() > 100)
    second = scenario.start_worker()
    wait_until(lambda: scenario.num_members() == 2, 60, first, second)
    scenario.publish(make_events(600, seed=42))
    seen = scenario.num_read()
    wait_until(lambda: scenario.num_read() > seen + 100, 60, first, second)
    second.kill()
    third = scenario.start_worker()
    wait_until(lambda: scenario.num_members() == 2, 60, first, third)
    scenario.publish(make_events(300, seed=43))
    scenario.finish(first, third)


@pytest.mark.slow
@pytest.mark.parametrize("moment", [has_committed, holds_lock])
def test_a_worker_that_was_thought_dead_cannot_commit(scenario: Scenario, moment: Moment) -> None:
    """It stands still with batches read ahead, between two commits or holding the version's lock.

    Its successor gets the lock when the server ends the transaction, after the time that the
    worker itself asked for when it began; the proxy shortens it.
    """
    scenario.publish(make_events(400, seed=51))
    sleeper = scenario.start_worker()
    stop = Stop(sleeper, moment)
    num_shortened = 0

    def rule(message: BoltMessage) -> bool:
        nonlocal num_shortened
        if message.name == "BEGIN" and ASKED_TIMEOUT in message.content:
            num_shortened += 1
            message.content = message.content.replace(ASKED_TIMEOUT, SHORT_TIMEOUT)
        return stop(message)

    scenario.servers.graph_proxy.rule = rule
    wait_until(lambda: stop.heard is not None, 60, sleeper)
    assert num_shortened
    successor = scenario.start_worker(MMGA_GRAPH_URL=scenario.servers.neo4j.url)
    wait_until(scenario.are_all_read, 90, successor)
    version = scenario.graph.head().version
    sleeper.go_on()
    time.sleep(2)
    assert scenario.graph.head().version == version, sleeper.said
    scenario.publish(make_events(100, seed=52))
    scenario.finish(sleeper, successor)
