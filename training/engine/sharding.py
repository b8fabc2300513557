"""How workers, and the batches of one step, part what a step draws: nothing is drawn twice.

All draw the same from the same random numbers, as much as all need, and each keeps its part.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Arrays = tuple[NDArray[np.int64], ...]
"""Arrays of one length, entry by entry one draw."""

SHARED = 2**32 - 1
"""Stands where a worker's own random numbers have its rank."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Part `part` of `num_parts`; `rng` gives all parts the same numbers in the same order.

    Where fewer things are left than all ask for, parts are as long as each other, or one shorter.
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
        """Up to `count` of what `draw` draws, disjoint from every other part's.

        One part alone uses its own random numbers.
        """
        if self.num_parts == 1:
            return draw(count, own_rng)
        drawn = draw(count * self.num_parts, self.rng)
        return tuple(each[self.part :: self.num_parts] for each in drawn)


def share_of(
    seed: int, step: int, *, rank: int, num_ranks: int, microbatch: int, num_microbatches: int
) -> Share:
    """The part of one batch of one worker in a step."""
    return Share(
        part=rank * num_microbatches + microbatch,
        num_parts=num_ranks * num_microbatches,
        rng=np.random.default_rng([seed, step, SHARED]),
    )


def whole() -> Share:
    """The only part."""
    return Share(part=0, num_parts=1, rng=np.random.default_rng(0))
