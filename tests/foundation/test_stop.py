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
