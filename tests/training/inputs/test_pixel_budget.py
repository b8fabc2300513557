import threading

import pytest

from training.inputs.image_errors import ImageRefused
from training.inputs.pixel_budget import PixelBudget


def test_who_finds_too_few_bytes_waits_for_them():
    budget = PixelBudget(100)
    order = []

    def second():
        with budget.holding(50):
            order.append("second")

    with budget.holding(60):
        waiting = threading.Thread(target=second)
        waiting.start()
        with budget.holding(40):
            order.append("fits")
        waiting.join(0.05)
        order.append("first")
    waiting.join()
    assert order == ["fits", "first", "second"]
    assert budget.num_free_bytes == 100


def test_more_than_there_are_is_refused_at_once():
    with pytest.raises(ImageRefused, match="needs too much memory"), PixelBudget(9).holding(10):
        pass


def test_an_error_gives_the_bytes_back():
    budget = PixelBudget(9)
    with pytest.raises(ZeroDivisionError), budget.holding(9):
        _ = 1 / 0
    assert budget.num_free_bytes == 9


def test_many_readers_never_hold_more_than_there_are():
    budget = PixelBudget(100)
    lowest = []

    def read(num_bytes):
        for _ in range(200):
            with budget.holding(num_bytes):
                lowest.append(budget.num_free_bytes)

    readers = [threading.Thread(target=read, args=(size,)) for size in (30, 40, 70, 100)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert len(lowest) == 800
    assert min(lowest) >= 0
    assert budget.num_free_bytes == 100
