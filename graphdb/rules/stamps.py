"""Time and kind of a fact as one integer, so that order is one comparison.

A stamp is time * 2, plus 1 for a deletion. It has room for the times of all facts (which are at
most a day ahead of the clock); what would not fit, such as FOREVER, is cut to the greatest stamp.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MAX_TIME = 2**62 - 1


def stamp(time: int, *, is_deletion: bool) -> int:
    """The stamp of one fact; that of a deletion voids all stamps up to it."""
    return min(time, MAX_TIME) * 2 + is_deletion


def stamps(times: Sequence[int], live: Sequence[bool]) -> NDArray[np.int64]:
    """The stamps of many facts; those that are not live are deletions."""
    cut = np.minimum(np.array(times, dtype=np.int64), MAX_TIME)
    return (cut << 1) | ~np.array(live, dtype=np.bool_)
