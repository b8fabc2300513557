"""Benchmarks of generations on small inputs: that they run and tell what they promise."""

import pytest

from benchmarks.generations import encoding


@pytest.mark.slow
def test_encoding_tells_time_growth_and_that_the_rival_agrees() -> None:
    one, difference, growth = encoding.run(**encoding.QUICK)
    assert one.ours > 0
    assert one.rival is not None
    assert one.rival > 0
    assert not difference.is_below_bar
    assert growth.ratio is not None
    assert growth.ratio > 0
