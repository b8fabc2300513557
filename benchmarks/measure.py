"""How a comparison is measured: ours and the rival take turns, medians and ratios are kept."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table: medians in `unit`, and the median of the ratios turn by turn.

    `rival` is None where only our own figure is of interest; `better` says which way is good.
    """

    name: str
    unit: str
    ours: float
    rival_name: str = ""
    rival: float | None = None
    ratio: float | None = None
    rounds: int = 1
    better: str = "higher"


def alternate(
    name: str,
    unit: str,
    *,
    ours: Callable[[], float],
    rival: Callable[[], float],
    rival_name: str,
    rounds: int = 3,
    warm_up: bool = True,
    better: str = "higher",
) -> Row:
    """Measure both in turn, `rounds` times after a round that does not count.

    Each callable runs once and returns its figure in `unit`.
    """
    if warm_up:
        ours()
        rival()
    pairs = [(ours(), rival()) for _ in range(rounds)]
    return Row(
        name=name,
        unit=unit,
        ours=statistics.median(mine for mine, _ in pairs),
        rival_name=rival_name,
        rival=statistics.median(theirs for _, theirs in pairs),
        ratio=statistics.median(mine / theirs for mine, theirs in pairs),
        rounds=rounds,
        better=better,
    )
