"""Connections that are cut between a commit and its answer, stall, or are refused.

Nothing is lost, and nothing is applied twice.
"""

import time
from contextlib import closing

import pytest

from graphdb import open_graph
from tests.faults.bolt_wire import BoltMessage
from tests.faults.event_set import make_events
from tests.faults.scenario import Scenario

pytestmark = [pytest.mark.servers("Neo4j", "Kafka"), pytest.mark.timeout(300)]
NUM_CUTS = 20


class Cut:
    """A rule: cuts in turn the request to commit, which the server never hears, and the answer."""

    def __init__(self) -> None:
        self.num_lost_requests = 0
        self.num_lost_answers = 0

    def __call__(self, message: BoltMessage) -> bool:
        num_cuts = self.num_lost_requests + self.num_lost_answers
        if num_cuts == NUM_CUTS:
            return True
        if num_cuts % 2 == 0 and message.is_commit:
            self.num_lost_requests += 1
            return False
        if num_cuts % 2 == 1 and message.confirms_commit:
            self.num_lost_answers += 1
            return False
        return True


class CutReads:
    """A rule: cuts the answers to the next commits of transactions that only read."""

    def __init__(self, number: int) -> None:
        self.left = number

    def __call__(self, message: BoltMessage) -> bool:
        request = message.request
        is_end = message.name == "SUCCESS" and request is not None and request.name == "COMMIT"
        if self.left and is_end:
            self.left -= 1
            return False
        return True


def test_a_read_is_repeated_where_its_end_is_lost(scenario: Scenario) -> None:
    with closing(open_graph(scenario.servers.proxied_graph_url)) as graph:
        scenario.servers.graph_proxy.rule = cut = CutReads(3)
        assert graph.positions() == []
        assert cut.left == 0


@pytest.mark.slow
def test_cut_between_commit_and_answer(scenario: Scenario) -> None:
    scenario.publish(make_events(450, seed=61))
    worker = scenario.start_worker("--batch-size", "40")
    scenario.servers.graph_proxy.rule = cut = Cut()
    scenario.finish(worker)
    assert cut.num_lost_requests == cut.num_lost_answers == NUM_CUTS / 2
    assert scenario.servers.ledger.num_commits == scenario.graph.head().version
    assert worker.said.count("dropped a batch") == NUM_CUTS


def test_connections_stall_and_are_refused(scenario: Scenario) -> None:
    """Of both servers, and longer than a worker may be silent to its group."""
    scenario.publish(make_events(300, seed=62))
    worker = scenario.start_worker("--batch-size", "40")
    worker.until(lambda: scenario.num_read() > 0)
    for proxy in (scenario.servers.graph_proxy, scenario.servers.kafka_proxy):
        proxy.stall()
        time.sleep(2)
        proxy.refuse()
        proxy.go_on()
        time.sleep(1)
        proxy.accept()
        scenario.publish(make_events(100, seed=proxy.port))
    scenario.finish(worker)
