"""Prefetches batches: draws those of later steps during a step, and copies them to the device.

Batches are drawn in threads, which share the memory-mapped inputs without copies; the slow parts of
a draw release the interpreter lock. If a draw takes longer than a step, as with graph steps on a
GPU, several draws run concurrently.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, is_dataclass
from itertools import islice
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

Batch = TypeVar("Batch")


class BatchLoader(Generic[Batch]):
    """Iterating gives (number, batch on the device) for each of `steps`, in order.

    `draw` is a function of the step's number only, so the batches do not depend on `num_ahead`, the
    number of batches drawn ahead (0: each is drawn on request). Each of these may be drawn in its
    own thread, never in the caller's. An exception of a draw is raised at its step. A caller that
    stops early waits for the running draws.

    `waited_seconds` is the time that the caller waited for the last batch. On CUDA the caller runs
    ahead of the device, whose waiting time is at most that plus its own copying.
    """

    def __init__(
        self,
        draw: Callable[[int], Batch],
        steps: range,
        *,
        device: torch.device,
        num_ahead: int,
    ) -> None:
        self.draw, self.steps = draw, steps
        self.device, self.num_ahead = device, num_ahead
        self.waited_seconds = 0.0

    def __iter__(self) -> Iterator[tuple[int, Batch]]:
        batches = self._drawn_ahead() if self.num_ahead else map(self._prepared, self.steps)
        for number in self.steps:
            started = time.perf_counter()
            batch = next(batches)
            self.waited_seconds = time.perf_counter() - started
            yield number, moved(batch, self.device)

    def _drawn_ahead(self) -> Iterator[Batch]:
        waiting = iter(self.steps)
        executor = ThreadPoolExecutor(self.num_ahead, thread_name_prefix="batches")
        try:
            first = islice(waiting, self.num_ahead)
            ahead = deque(executor.submit(self._prepared, number) for number in first)
            while ahead:
                batch = ahead.popleft().result()
                ahead.extend(executor.submit(self._prepared, each) for each in islice(waiting, 1))
                yield batch
        finally:
            executor.shutdown(cancel_futures=True)

    def _prepared(self, number: int) -> Batch:
        batch = self.draw(number)
        return pinned(batch) if self.device.type == "cuda" else batch


def moved(batch: Batch, device: torch.device) -> Batch:
    """The same batch with its tensors on a device; copies from pinned memory do not block."""
    there: Batch = _with_tensors(batch, lambda tensor: tensor.to(device, non_blocking=True))
    return there


def pinned(batch: Batch) -> Batch:
    """The same batch with its tensors in pinned memory, from which CUDA copies on its own."""
    there: Batch = _with_tensors(batch, Tensor.pin_memory)
    return there


def _with_tensors(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """A nested value of dataclasses, lists and tuples, with `change` applied to each tensor."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, list | tuple):
        return type(value)(_with_tensors(each, change) for each in value)
    if is_dataclass(value) and not isinstance(value, type):
        changed = {
            entry.name: _with_tensors(getattr(value, entry.name), change) for entry in fields(value)
        }
        return type(value)(**changed)
    return value
