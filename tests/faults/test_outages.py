"""Servers that are stopped, killed and started while events come in: the worker waits for them."""

import time

import pytest

from tests.faults.event_set import make_events
from tests.faults.scenario import Scenario
from tests.servers import Server

pytestmark = [pytest.mark.servers("Neo4j", "Kafka"), pytest.mark.timeout(300)]
LOAD = 300


def test_undisturbed(scenario: Scenario) -> None:
    scenario.publish(make_events(LOAD, seed=1))
    scenario.finish(scenario.start_worker())
    ledger = scenario.servers.ledger
    assert ledger.num_commits == scenario.graph.head().version
    assert sum(offsets[-1] for offsets in ledger.moves().values()) == len(scenario.published)


@pytest.mark.slow
def test_neo4j_stops_and_is_killed(scenario: Scenario) -> None:
    neo4j = scenario.servers.neo4j
    scenario.publish(make_events(LOAD, seed=11))
    worker = scenario.start_worker(MMGA_GRAPH_URL=neo4j.url)
    for number, end in enumerate([neo4j.stop, neo4j.kill]):
        seen = scenario.num_read()
        worker.until(lambda seen=seen: scenario.num_read() > seen)  # type: ignore[misc]
        end()
        scenario.publish(make_events(LOAD, seed=12 + number))
        neo4j.start()
    scenario.finish(worker)
    assert "going on after" in worker.said


@pytest.mark.slow
def test_kafka_stops_and_is_killed(scenario: Scenario) -> None:
    kafka = scenario.servers.kafka
    scenario.publish(make_events(LOAD, seed=21))
    worker = scenario.start_worker()
    for number, end in enumerate([kafka.stop, kafka.kill]):
        seen = scenario.num_read()
        worker.until(lambda seen=seen: scenario.num_read() > seen)  # type: ignore[misc]
        end()
        scenario.servers.kafka_proxy.refuse()
        time.sleep(1)
        scenario.servers.kafka_proxy.accept()
        kafka.start()
        scenario.publish(make_events(LOAD, seed=22 + number))
    scenario.finish(worker)


@pytest.mark.servers("Redis")
def test_redis_stops_and_is_killed(scenario: Scenario, own_redis: Server) -> None:
    scenario.environ["MMGA_ONLINE_STORE_URL"] = own_redis.url
    scenario.publish(make_events(200, seed=31))
    worker = scenario.start_worker()
    for number, end in enumerate([own_redis.stop, own_redis.kill]):
        worker.until(scenario.is_caught_up)
        end()
        scenario.publish(make_events(200, seed=32 + number))
        worker.until(scenario.are_all_read)
        time.sleep(1)
        own_redis.start()
    scenario.finish(worker)
