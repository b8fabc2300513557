import dataclasses
import threading

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.training.small_network import small_config, small_data
from training.engine.batch_loader import BatchLoader, moved
from training.mmga.batches import encoder_batch, graph_batch, split_posts

CPU = torch.device("cpu")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    rows: list[Tensor]
    name: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    inner: Inner
    missing: Inner | None
    places: tuple[Tensor, ...]


def numbers(draw, steps: range, num_ahead: int) -> list[tuple[int, object]]:
    return list(BatchLoader(draw, steps, device=CPU, num_ahead=num_ahead))


@pytest.mark.parametrize("num_ahead", [0, 1, 2, 7])
def test_batches_come_in_the_order_of_their_steps_however_many_are_drawn_ahead(
    num_ahead: int,
) -> None:
    assert numbers(lambda number: number * number, range(3, 8), num_ahead) == [
        (3, 9),
        (4, 16),
        (5, 25),
        (6, 36),
        (7, 49),
    ]
    assert numbers(lambda number: number, range(4, 4), num_ahead) == []


def test_batches_are_the_same_drawn_ahead_and_drawn_in_line() -> None:
    config = small_config(edges="follows", signature_width=8)
    data = small_data(config)
    posts, _ = split_posts(data, held_out_share=0.1)

    def draw(number: int) -> object:
        rng = np.random.default_rng(number)
        if number % 2:
            return graph_batch(data, config, rng)
        return encoder_batch(data, config, rng, posts=posts, with_users=True)

    for (_, ahead), (_, in_line) in zip(
        numbers(draw, range(6), 3), numbers(draw, range(6), 0), strict=True
    ):
        pairs = zip(tensors_of(ahead), tensors_of(in_line), strict=True)
        assert all(torch.equal(*pair) for pair in pairs)


def tensors_of(batch: object) -> list[Tensor]:
    found: list[Tensor] = []
    if isinstance(batch, Tensor):
        found.append(batch)
    elif dataclasses.is_dataclass(batch):
        for entry in dataclasses.fields(batch):
            found += tensors_of(getattr(batch, entry.name))
    elif isinstance(batch, list | tuple):
        for each in batch:
            found += tensors_of(each)
    return found


def test_coming_batches_are_drawn_while_the_caller_computes_and_no_more_than_asked_for() -> None:
    drawn: list[int] = []
    third = threading.Event()

    def draw(number: int) -> int:
        drawn.append(number)
        if number == 2:
            third.set()
        return number

    loader = iter(BatchLoader(draw, range(100), device=CPU, num_ahead=2))
    assert next(loader) == (0, 0)
    assert third.wait(10)  # two are ahead of the one that the caller has
    assert sorted(drawn) == [0, 1, 2]
    loader.close()


def test_a_slow_draw_does_not_keep_the_next_one_from_beginning() -> None:
    second = threading.Event()

    def draw(number: int) -> bool:
        if number == 1:
            second.set()
        return second.wait(10)

    assert numbers(draw, range(3), 2) == [(0, True), (1, True), (2, True)]


@pytest.mark.parametrize("num_ahead", [0, 2])
def test_what_a_draw_raises_reaches_the_caller_at_its_step(num_ahead: int) -> None:
    def draw(number: int) -> int:
        if number == 2:
            raise ConnectionError("the database is gone")
        return number

    batches = iter(BatchLoader(draw, range(5), device=CPU, num_ahead=num_ahead))
    assert [next(batches), next(batches)] == [(0, 0), (1, 1)]
    with pytest.raises(ConnectionError, match="the database is gone"):
        next(batches)
    assert not drawing_threads()


def test_a_caller_that_stops_early_leaves_no_thread() -> None:
    for number, _ in BatchLoader(lambda number: number, range(100), device=CPU, num_ahead=3):
        assert drawing_threads()
        if number == 4:
            break
    assert not drawing_threads()


def drawing_threads() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith("batches")]


@pytest.mark.parametrize("num_ahead", [0, 2])
def test_the_time_that_the_caller_waits_is_known(num_ahead: int) -> None:
    go = threading.Event()
    timer = threading.Timer(0.2, go.set)

    def draw(number: int) -> int:
        if number == 1:
            timer.start()
            go.wait()
        return number

    loader = BatchLoader(draw, range(3), device=CPU, num_ahead=num_ahead)
    waited = {number: loader.waited_seconds for number, _ in loader}
    assert waited[1] > 0.1
    assert waited[0] < 0.1
    assert waited[2] < 0.1


def test_all_tensors_of_a_nested_batch_move_and_the_rest_stays() -> None:
    batch = Outer(
        inner=Inner(rows=[torch.zeros(2), torch.ones(1)], name="rows"),
        missing=None,
        places=(torch.arange(3),),
    )
    there = moved(batch, torch.device("meta"))
    assert all(tensor.device.type == "meta" for tensor in tensors_of(there))
    assert [len(tensor) for tensor in tensors_of(there)] == [2, 1, 3]
    assert there.inner.name == "rows"
    assert there.missing is None
