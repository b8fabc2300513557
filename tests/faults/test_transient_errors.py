"""Errors of the database that pass: real ones, provoked by a second client."""

import threading
from collections import Counter
from collections.abc import Iterator

import pytest
from neo4j import Driver, GraphDatabase
from neo4j.exceptions import Neo4jError

from tests.faults.bolt_wire import BoltMessage
from tests.faults.event_set import make_events
from tests.faults.scenario import Scenario
from tests.faults.signals import holds_lock
from tests.servers.neo4j import PASSWORD

pytestmark = [pytest.mark.servers("Neo4j", "Kafka"), pytest.mark.timeout(300)]
NUM_TERMINATED = 12
NUM_DEADLOCKS = 6
TERMINATE_OTHERS = """
SHOW TRANSACTIONS YIELD transactionId AS id, database, currentQuery
WHERE database = 'neo4j' AND NOT currentQuery CONTAINS 'SHOW TRANSACTIONS'
TERMINATE TRANSACTIONS id YIELD message
RETURN count(*) AS num"""


@pytest.fixture
def rival(scenario: Scenario) -> Iterator[Driver]:
    """A second client of the database."""
    neo4j = scenario.servers.neo4j
    url = f"bolt://{neo4j.host}:{neo4j.port}"
    with GraphDatabase.driver(url, auth=("neo4j", PASSWORD)) as driver:
        yield driver


class Failures:
    """Counts the codes of the errors that pass a proxy."""

    def __init__(self) -> None:
        self.codes: Counter[str] = Counter()

    def hear(self, message: BoltMessage) -> None:
        """An answer passes."""
        if message.name == "FAILURE":
            found = message.content.partition(b"Neo.")[2]
            words = bytes(byte if byte < 0x80 else 0x20 for byte in found).split()
            self.codes[f"Neo.{words[0].decode() if words else ''}"] += 1


def test_transactions_are_terminated(scenario: Scenario, rival: Driver) -> None:
    """At steps of a commit from the first to the last, and while statistics are read."""
    scenario.publish(make_events(700, seed=71))
    worker = scenario.start_worker()
    failures, terminated = Failures(), 0

    def rule(message: BoltMessage) -> bool:
        nonlocal terminated
        failures.hear(message)
        transaction = message.transaction
        num_run = len(transaction.statements) if transaction is not None else 0
        is_next = message.is_commit or num_run > 1 + 2 * terminated
        if message.is_step and terminated < NUM_TERMINATED and is_next:
            rival.execute_query(TERMINATE_OTHERS)
            terminated += 1
        return True

    scenario.servers.graph_proxy.rule = rule
    scenario.finish(worker)
    assert terminated == NUM_TERMINATED
    assert sum(failures.codes.values()) >= NUM_TERMINATED, failures.codes


def test_deadlocks(scenario: Scenario, rival: Driver) -> None:
    """A second client has locked the users that a commit needs, and asks for what it holds."""
    scenario.publish(make_events(700, seed=81))
    worker = scenario.start_worker()
    failures, rivals = Failures(), []
    outcomes: Counter[str] = Counter()

    def cross() -> None:
        with rival.session(database="neo4j") as session, session.begin_transaction() as tx:
            try:
                tx.run("MATCH (u:User) SET u.locked = true").consume()
                locked.set()
                tx.run("MATCH (m:Meta {id: 0}) SET m.locked = true").consume()
            except Neo4jError as error:
                outcomes[str(error.code)] += 1
            else:
                outcomes["none"] += 1
            finally:
                locked.set()
                tx.rollback()

    locked = threading.Event()

    def rule(message: BoltMessage) -> bool:
        failures.hear(message)
        if holds_lock(message) and len(rivals) < NUM_DEADLOCKS:
            locked.clear()
            rivals.append(threading.Thread(target=cross))
            rivals[-1].start()
            locked.wait(10)
        return True

    scenario.servers.graph_proxy.rule = rule
    scenario.finish(worker)
    for each in rivals:
        each.join()
    print(outcomes, failures.codes)
    assert len(rivals) == NUM_DEADLOCKS
