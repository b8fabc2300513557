"""Splits the draws of a step between workers and microbatches, without duplicates.

Each worker draws the same values, enough for all, from the same random numbers, and keeps its part.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Arrays = tuple[NDArray[np.int64], ...]
"""Arrays of equal length; entry i of all arrays is draw i."""

SHARED = 2**32 - 1
"""In seeds of random numbers that all workers share, in place of the rank."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """Part `part` of `num_parts`; `rng` gives all parts the same numbers in the same order.

    If there are fewer values than all parts need, lengths of parts differ by at most one.
    """

    part: int
    num_parts: int
    rng: np.random.Generator

    def of(
        self,
        draw: Callable[[int, np.random.Generator], Arrays],
        count: int,
        own_rng: np.random.Generator,
    ) -> Arrays:
        """Up to `count` values that `draw` draws, disjoint from those of all other parts.

        A single part uses its own random numbers.
        """
        if self.num_parts == 1:
            return draw(count, own_rng)
        drawn = draw(count * self.num_parts, self.rng)
        return tuple(each[self.part :: self.num_parts] for each in drawn)


def shard_of(
    seed: int, step: int, *, rank: int, num_ranks: int, microbatch: int, num_microbatches: int
) -> Shard:
    """The part of one batch of one worker in a step."""
    return Shard(
        part=rank * num_microbatches + microbatch,
        num_parts=num_ranks * num_microbatches,
        rng=np.random.default_rng([seed, step, SHARED]),
    )


def whole() -> Shard:
    """The only part."""
    return Shard(part=0, num_parts=1, rng=np.random.default_rng(0))
