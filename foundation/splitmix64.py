"""SplitMix64: words that look random, each a function of its state alone.

Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014, with the
mixer that they call variant 13 of Stafford's.
"""

import numpy as np
from numpy.typing import NDArray

GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)


def splitmix64(states: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The word that the generator gives in each state: the state moved on, then mixed."""
    return mixed(states + GOLDEN_GAMMA)


def mixed(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser: a bijection after which every bit depends on all bits."""
    words = words ^ (words >> np.uint64(30))
    words *= np.uint64(0xBF58476D1CE4E5B9)
    words ^= words >> np.uint64(27)
    words *= np.uint64(0x94D049BB133111EB)
    words ^= words >> np.uint64(31)
    return words
