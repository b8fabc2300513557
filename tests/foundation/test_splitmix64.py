"""The words of the reference, to the bit: they seed random choices."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from foundation.splitmix64 import GOLDEN_GAMMA, mixed, splitmix64

MASK = 2**64 - 1


def reference(state: int) -> int:
    """The generator's next word, as its authors write it in C."""
    z = (state + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def test_the_first_words_of_a_known_seed() -> None:
    # Published with the reference implementation: seed 1234567.
    states = np.uint64(1234567) + np.arange(5, dtype=np.uint64) * GOLDEN_GAMMA
    assert splitmix64(states).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


@given(st.lists(st.integers(0, MASK)))
def test_words_are_those_of_the_reference_and_the_states_stay(states: list[int]) -> None:
    array = np.array(states, np.uint64)
    assert splitmix64(array).tolist() == [reference(state) for state in states]
    assert mixed(array + GOLDEN_GAMMA).tolist() == [reference(state) for state in states]
    assert array.tolist() == states
