"""Errors of the database that pass: real ones, provoked by a second client."""

import threading
from collections import Counter
from collections.abc import Iterator

import pytest
from neo4j import Driver, GraphDatabase
from neo4j.exceptions import TransientError

from tests.faults.bolt_wire import BoltMessage
from tests.faults.event_set import make_events
from tests.faults.scenario import Scenario
from tests.faults.signals import holds_lock, step
from tests.servers.neo4j import PASSWORD

pytestmark = [pytest.mark.servers("Neo4j", "Kafka"), pytest.mark.timeout(300)]
NUM_TERMINATED = 6
NUM_DEADLOCKS = 2
MAX_RIVALS = 30
DEADLOCK = "Neo.TransientError.Transaction.DeadlockDetected"
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
    """At steps of a commit from the first to the last; those after it succeed."""
    scenario.publish(make_events(500, seed=71))
    worker = scenario.start_worker()
    failures, terminated, is_due = Failures(), 0, True

    def rule(message: BoltMessage) -> bool:
        nonlocal terminated, is_due
        failures.hear(message)
        if is_due and terminated < NUM_TERMINATED and step(1 + 3 * terminated)(message):
            rival.execute_query(TERMINATE_OTHERS)
            terminated, is_due = terminated + 1, False
        is_due = is_due or message.confirms_commit
        return True

    scenario.servers.graph_proxy.rule = rule
    scenario.finish(worker)
    assert terminated == NUM_TERMINATED
    assert sum(failures.codes.values()) >= NUM_TERMINATED, failures.codes


def test_deadlocks(scenario: Scenario, rival: Driver) -> None:
    """A second client has locked the users that a commit needs, and asks for what it holds.

    The server chooses who gives way; this goes on until it was the worker, twice.
    """
    scenario.publish(make_events(500, seed=81))
    worker = scenario.start_worker()
    failures = Failures()
    rivals: list[threading.Thread] = []

    def cross() -> None:
        with rival.session(database="neo4j") as session, session.begin_transaction() as tx:
            try:
                tx.run("MATCH (u:User) SET u.locked = true").consume()
                locked.set()
                tx.run("MATCH (m:Meta {id: 0}) SET m.locked = true").consume()
            except TransientError:
                pass  # it was chosen to give way
            finally:
                locked.set()
                tx.rollback()

    locked = threading.Event()

    def rule(message: BoltMessage) -> bool:
        failures.hear(message)
        is_due = failures.codes[DEADLOCK] < NUM_DEADLOCKS and len(rivals) < MAX_RIVALS
        if is_due and holds_lock(message):
            locked.clear()
            rivals.append(threading.Thread(target=cross))
            rivals[-1].start()
            locked.wait(10)
        return True

    scenario.servers.graph_proxy.rule = rule
    scenario.finish(worker)
    for each in rivals:
        each.join()
    assert failures.codes[DEADLOCK] >= NUM_DEADLOCKS
