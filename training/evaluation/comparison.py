"""Compares trained networks with the same networks at initial weights, and with baselines.

S seeds.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, stdev
from typing import Any

from foundation.text_table import text_table
from training.evaluation.evaluator import ALONE, COSINE, WITH_COUNTS, Figure, Scores


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedFigure:
    """One figure of a representation: mean and deviation over seeds, initial value, baseline.

    `moved` is the mean change that training made, `moved_deviation` its deviation over seeds; both
    deviations are 0 for one seed. The baseline is the best of its task and metric.
    """

    figure: Figure
    trained: float
    trained_deviation: float
    initial: float
    initial_deviation: float
    moved: float
    moved_deviation: float
    baseline: float | None
    baseline_name: str | None

    @property
    def is_improved(self) -> bool:
        """Whether training raised the figure by more than either standard deviation."""
        return self.moved > max(
            self.trained_deviation, self.initial_deviation, self.moved_deviation
        )

    @property
    def is_below_baseline(self) -> bool:
        """Whether a baseline is better."""
        return self.baseline is not None and self.trained < self.baseline


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """All figures of a run's seeds beside those of the baselines, which have no seeds."""

    num_seeds: int
    compared: tuple[ComparedFigure, ...]
    baselines: tuple[tuple[Figure, float], ...]
    num_without_representation: int

    @property
    def not_improved(self) -> tuple[ComparedFigure, ...]:
        """Figures that training does not raise by more than one standard deviation."""
        return tuple(each for each in self.compared if not each.is_improved)

    @property
    def below_baseline(self) -> tuple[ComparedFigure, ...]:
        """Figures below the best baseline of their task and metric."""
        return tuple(each for each in self.compared if each.is_below_baseline)

    def document(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return {
            "num_seeds": self.num_seeds,
            "figures": [
                asdict(each.figure)
                | {key: value for key, value in asdict(each).items() if key != "figure"}
                | {"is_improved": each.is_improved, "is_below_baseline": each.is_below_baseline}
                for each in self.compared
            ],
            "baselines": [asdict(figure) | {"value": value} for figure, value in self.baselines],
            "num_seeds_without_representation": self.num_without_representation,
        }


def compare(trained: Sequence[Scores], initial: Sequence[Scores], baselines: Scores) -> Evaluation:
    """Compare each seed's trained representation with that of its network at initial weights.

    One `Scores` a seed, in the same order in both.
    """
    figures = [figure for figure in trained[0].figures if figure in initial[0].figures]
    return Evaluation(
        num_seeds=len(trained),
        compared=tuple(
            compared(
                figure,
                [scores.figures[figure] for scores in trained],
                [scores.figures[figure] for scores in initial],
                baselines,
            )
            for figure in figures
        ),
        baselines=tuple(baselines.figures.items()),
        num_without_representation=sum(not scores.uses_representation for scores in trained),
    )


def compared(
    figure: Figure, trained: Sequence[float], initial: Sequence[float], baselines: Scores
) -> ComparedFigure:
    """One figure over the seeds."""
    moves = [after - before for after, before in zip(trained, initial, strict=True)]
    rivals = {
        each.method: value
        for each, value in baselines.figures.items()
        if (each.task, each.metric) == (figure.task, figure.metric)
    }
    best = max(rivals, key=lambda name: rivals[name], default=None)
    return ComparedFigure(
        figure=figure,
        trained=fmean(trained),
        trained_deviation=deviation(trained),
        initial=fmean(initial),
        initial_deviation=deviation(initial),
        moved=fmean(moves),
        moved_deviation=deviation(moves),
        baseline=None if best is None else rivals[best],
        baseline_name=best,
    )


def deviation(values: Sequence[float]) -> float:
    """The deviation over seeds, 0 for one."""
    return stdev(values) if len(values) > 1 else 0.0


def render_summary(evaluation: Evaluation) -> str:
    """One table: a row for each task and method, in the task's first metric."""
    rows = [["task, by method, metric", "trained", "untrained", "best baseline"]]
    first: dict[str, str] = {}
    for each in evaluation.compared:
        figure = each.figure
        if first.setdefault(figure.task, figure.metric) == figure.metric:
            best = "" if each.baseline is None else f"{each.baseline:.3f} {each.baseline_name}"
            rows.append([name(each), f"{each.trained:.3f}", f"{each.initial:.3f}", best])
    return "\n".join(text_table(rows, right_from=1, rule=True))


def render_evaluation(evaluation: Evaluation) -> str:
    """A table for each task, then by name the figures that training does not improve, and those
    below a baseline."""
    lines: list[str] = []
    tasks = dict.fromkeys(each.figure.task for each in evaluation.compared)
    for task in tasks:
        lines += [*task_table(evaluation, task), ""]
    lines += verdicts(evaluation)
    return "\n".join(lines)


def task_table(evaluation: Evaluation, task: str) -> list[str]:
    """One row a method: trained, the same at initial weights, then the baselines."""
    metrics = list(
        dict.fromkeys(
            each.figure.metric for each in evaluation.compared if each.figure.task == task
        )
    )
    rows = [[task, *(metric.replace("_", " ") for metric in metrics)]]
    for method in (WITH_COUNTS, ALONE, COSINE):
        own = {
            each.figure.metric: each
            for each in evaluation.compared
            if (each.figure.task, each.figure.method) == (task, method)
        }
        if own:
            rows.append(
                [
                    f"trained {method}",
                    *(spread(own[m].trained, own[m].trained_deviation) for m in metrics),
                ]
            )
            rows.append(
                [
                    f"initial {method}",
                    *(spread(own[m].initial, own[m].initial_deviation) for m in metrics),
                ]
            )
    baselines: dict[str, dict[str, float]] = {}
    for figure, value in evaluation.baselines:
        if figure.task == task:
            baselines.setdefault(figure.method, {})[figure.metric] = value
    rows += [
        [f"baseline: {name}", *(f"{found[m]:.3f}" for m in metrics)]
        for name, found in baselines.items()
    ]
    return text_table(rows, right_from=1, rule=True)


def verdicts(evaluation: Evaluation) -> list[str]:
    """The figures that training does not improve, and those below a baseline."""
    seeds = f"{evaluation.num_seeds} seed" + "s" * (evaluation.num_seeds != 1)
    lines = [f"Not improved by training by more than one standard deviation over {seeds}:"]
    if evaluation.num_seeds == 1:
        lines = ["Not improved by training (one seed, so without a deviation):"]
    lines += [
        f"  {name(each)}: {each.initial:.3f} -> {each.trained:.3f}"
        for each in evaluation.not_improved
    ] or ["  none"]
    lines.append("Below the best baseline:")
    lines += [
        f"  {name(each)}: {each.trained:.3f} < {each.baseline:.3f} ({each.baseline_name})"
        for each in evaluation.below_baseline
    ] or ["  none"]
    if evaluation.num_without_representation:
        lines.append(
            f"In {evaluation.num_without_representation} of {seeds} the validation folds preferred "
            f"counts alone: there '{WITH_COUNTS}' does not read the representation."
        )
    return lines


def name(each: ComparedFigure) -> str:
    """A figure in words."""
    figure = each.figure
    return f"{figure.task}, {figure.method}, {figure.metric.replace('_', ' ')}"


def spread(mean: float, deviation_over_seeds: float) -> str:
    """A mean with its deviation, where there is one."""
    return f"{mean:.3f} ± {deviation_over_seeds:.3f}" if deviation_over_seeds else f"{mean:.3f}"
