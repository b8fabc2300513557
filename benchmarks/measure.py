"""How a comparison is measured: ours and its rivals take turns, medians and ratios are kept."""

import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table: medians in `unit`, and the median of the ratios turn by turn.

    `rival` is None where only our own figure is of interest; `better` says which way is good.
    `bar` is what the ratio, or without a rival our figure, has to reach.
    """

    name: str
    unit: str
    ours: float
    rival_name: str = ""
    rival: float | None = None
    ratio: float | None = None
    rounds: int = 1
    better: str = "higher"
    bar: float | None = None

    @property
    def is_below_bar(self) -> bool:
        """Whether there is a bar and it was missed."""
        if self.bar is None:
            return False
        figure = self.ours if self.ratio is None else self.ratio
        return figure < self.bar if self.better == "higher" else figure > self.bar


def take_turns(
    contenders: Mapping[str, Callable[[], float]], *, rounds: int, warm_up: bool = True
) -> dict[str, list[float]]:
    """The figures of each contender, `rounds` of them after a round that does not count.

    Each figure is told on stderr as it comes.
    """
    figures: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(-warm_up, rounds):
        for name, run in contenders.items():
            figure = run()
            print(f"  {'warm-up' if turn < 0 else turn + 1} {name}: {figure:,.1f}", file=sys.stderr)
            if turn >= 0:
                figures[name].append(figure)
    return figures


def compare(
    name: str,
    unit: str,
    *,
    ours: Sequence[float],
    rival: Sequence[float],
    rival_name: str,
    better: str = "higher",
    bar: float | None = None,
) -> Row:
    """A row of figures that were measured in turn."""
    return Row(
        name=name,
        unit=unit,
        ours=statistics.median(ours),
        rival_name=rival_name,
        rival=statistics.median(rival),
        ratio=statistics.median(mine / theirs for mine, theirs in zip(ours, rival, strict=True)),
        rounds=len(ours),
        better=better,
        bar=bar,
    )


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
    bar: float | None = None,
) -> Row:
    """Measure both in turn, `rounds` times after a round that does not count.

    Each callable runs once and returns its figure in `unit`.
    """
    figures = take_turns({"ours": ours, "rival": rival}, rounds=rounds, warm_up=warm_up)
    return compare(name, unit, **figures, rival_name=rival_name, better=better, bar=bar)
