import os
import signal
import threading
import time

import pytest

from foundation.stop import StopRequest


def signal_now():
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.01)  # long enough for the interpreter to hear of it


def test_the_first_signal_cuts_nothing_in_two():
    stop, done = StopRequest(), []
    with stop.listening():
        signal_now()
        done.append("the work that it came into")
        stop.check()
        done.append("work that must not begin")
    assert done == ["the work that it came into"]


def test_the_second_signal_ends_the_work_that_it_comes_into():
    stop, done = StopRequest(), []
    with stop.listening():
        signal_now()
        signal_now()
        done.append("work that is cut off")
    assert not done


def test_a_signal_ends_waiting_soon():
    stop = StopRequest()
    threading.Timer(0.2, signal_now).start()
    started = time.monotonic()
    with stop.listening():
        stop.sleep(30)
        pytest.fail("waited to the end")
    assert time.monotonic() - started < 5


def test_handlers_are_restored():
    before = signal.getsignal(signal.SIGTERM)
    with StopRequest().listening():
        pass
    assert signal.getsignal(signal.SIGTERM) is before


def test_in_a_block_that_only_waits_the_first_signal_is_enough():
    stop, done = StopRequest(), []
    with stop.listening(), stop.at_once():
        signal_now()
        done.append("waited on")
    assert not done
    assert stop.number is signal.SIGTERM


def test_a_signal_that_came_before_such_a_block_ends_it_at_once():
    stop = StopRequest()
    with stop.listening():
        signal_now()
        with stop.at_once():
            pytest.fail("began to wait")


def test_a_handler_that_a_library_installs_is_replaced():
    stop = StopRequest()
    with stop.listening():
        signal.signal(signal.SIGTERM, lambda *_: pytest.fail("the library's handler ran"))
        with stop.at_once():
            signal_now()
    assert stop.requested


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_exit_status_tells_the_signal(number, status):
    stop = StopRequest()
    with stop.listening():
        os.kill(os.getpid(), number)
        stop.sleep(5)
    error = stop.interrupted("run the same command again")
    assert error.exit_status == status
    assert str(error) == f"stopped by {number.name}: run the same command again"
