"""One thread for work in small pieces.

Threads of BLAS and OpenMP spin where they wait for each other. On cores that others use too, a
second of many small products then takes a minute; alone it is hardly slower on one thread.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread within the block."""
    before = torch.get_num_threads()
    with threadpool_limits(1):
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)
