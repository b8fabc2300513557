"""Limits BLAS and OpenMP to one thread for many small computations.

Their threads spin while they wait for each other. On shared cores, a second of many small products
then takes a minute; one thread is hardly slower on idle cores.
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
