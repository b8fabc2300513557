"""A worker that is told to end (SIGTERM) at any moment ends soon, with nothing done by halves."""

import os
import random
import time

import pytest

from tests.faults.event_set import make_events
from tests.faults.scenario import Scenario

pytestmark = [pytest.mark.servers("Neo4j", "Kafka"), pytest.mark.slow]
NUM_STOPS = int(os.environ.get("MMGA_TEST_STOPS", "4"))
"""Each takes about 3 s; a hundred and more look for what is rare."""


@pytest.mark.timeout(120 + 20 * NUM_STOPS)
def test_workers_are_told_to_end_at_random_moments(scenario: Scenario) -> None:
    rng = random.Random(71)
    for number in range(NUM_STOPS):
        scenario.publish(make_events(150, seed=7100 + number))
        before = scenario.num_read()
        worker = scenario.start_worker("--batch-size", "10")
        worker.until(lambda before=before: scenario.num_read() > before)
        time.sleep(rng.random() * 0.8)
        worker.terminate()
    scenario.finish(scenario.start_worker())
