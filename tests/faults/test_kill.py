"""Killed between any two steps, and started again, a worker ends where an undisturbed one would.

One stream is read by one worker after the other, each of which is killed further on within its
first commit: before every eighth of its statements, before the commit, when the commit stands and
its answer is on its way; while dead letters are sent, and when they are kept; while statistics are
read, and while they are written.
"""

import signal
from contextlib import closing

import pytest

from ingest.synthetic.bad_events import bad_lines
from tests.faults.bolt_wire import BoltMessage
from tests.faults.event_set import make_events
from tests.faults.kafka_wire import KafkaMessage
from tests.faults.scenario import Scenario
from tests.faults.signals import Kill, Moment, has_committed, step
from tests.faults.tcp_proxy import Message, Proxy
from tests.servers import Server

pytestmark = [pytest.mark.servers("Neo4j", "Kafka"), pytest.mark.timeout(300)]
STRIDE = 8
MIN_STATEMENTS = 5
WHOLE = ("--no-statistics", "--batch-size", "1000")
"""So that the first batch has events of all types."""


@pytest.mark.slow
def test_killed_between_two_steps_of_a_commit(scenario: Scenario) -> None:
    scenario.publish(make_events(600, seed=2))
    proxy = scenario.servers.graph_proxy
    reached: set[str] = set()
    for number in range(1, 100, STRIDE):
        heard = killed_at(scenario, proxy, step(number), *WHOLE)
        assert heard.transaction is not None
        reached.add(heard.transaction.statements[-1])
        if heard.is_commit:
            break
    assert len(reached) > MIN_STATEMENTS
    assert scenario.num_read() == 0
    killed_at(scenario, proxy, has_committed, *WHOLE)
    assert scenario.num_read() > 0
    scenario.publish(make_events(100, seed=3))
    scenario.finish(scenario.start_worker())


def test_killed_while_dead_letters_are_kept(scenario: Scenario) -> None:
    scenario.publish([*make_events(300, seed=3), *bad_lines()])
    proxy = scenario.servers.kafka_proxy
    killed_at(scenario, proxy, sends_letters, "--no-statistics")
    killed_at(scenario, proxy, confirms_letters, "--no-statistics")
    assert scenario.num_read() == 0
    scenario.finish(scenario.start_worker())


def test_killed_while_statistics_are_read(scenario: Scenario) -> None:
    scenario.publish(make_events(300, seed=4))
    killed_at(scenario, scenario.servers.graph_proxy, reads_profiles)
    scenario.finish(scenario.start_worker())


@pytest.mark.servers("Redis")
def test_killed_while_statistics_are_written(scenario: Scenario, own_redis: Server) -> None:
    scenario.environ["MMGA_ONLINE_STORE_URL"] = own_redis.url
    with closing(Proxy(own_redis.port)) as proxy:
        url = own_redis.url.replace(str(own_redis.port), str(proxy.port))
        scenario.publish(make_events(300, seed=5))
        killed_at(scenario, proxy, writes_a_row, MMGA_ONLINE_STORE_URL=url)
        killed_at(scenario, proxy, confirms_a_row(), MMGA_ONLINE_STORE_URL=url)
        scenario.finish(scenario.start_worker())


def killed_at(
    scenario: Scenario, proxy: Proxy, moment: Moment, *arguments: str, **environ: str
) -> BoltMessage:
    """Run a worker until it is killed at a moment; return the message that it was killed at."""
    worker = scenario.start_worker(*arguments, **environ)
    proxy.rule = kill = Kill(worker, moment)
    assert worker.wait() == -signal.SIGKILL, worker.said
    proxy.rule = lambda _: True
    heard: BoltMessage = kill.heard
    return heard


def sends_letters(message: KafkaMessage) -> bool:
    """Whether dead letters are on their way."""
    return message.sends_letters


def confirms_letters(message: KafkaMessage) -> bool:
    """Whether dead letters were kept: workers send nothing else."""
    return message.confirms_produce


def reads_profiles(message: BoltMessage) -> bool:
    """Whether the statistics of users are being computed."""
    transaction = message.transaction
    return (
        message.name == "RUN"
        and transaction is not None
        and not transaction.is_batch
        and any("u.biography" in each for each in transaction.statements)
    )


def writes_a_row(message: Message) -> bool:
    """Whether features of users are on their way."""
    return message.to_server and b"user0" in message.content


def confirms_a_row() -> Moment:
    """Whether the answer to features of users is on its way."""
    were_sent = False

    def moment(message: Message) -> bool:
        nonlocal were_sent
        were_sent = were_sent or writes_a_row(message)
        return were_sent and not message.to_server

    return moment
