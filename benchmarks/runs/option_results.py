"""Results of variants: one file each, and the table of their differences to the default."""

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.machine import machine
from training.mmga.config import RunConfig
from training.options.document import to_json

DEFAULT = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One variant with one seed: figures and a digest of R, or why training refused it."""

    variant: str
    seed: int
    refused: str | None = None
    config: str = ""
    vectors: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    commit: str = ""


def read(path: Path, config: RunConfig) -> Result | None:
    """The result in a file, if it is of this config."""
    if not path.exists():
        return None
    result = Result(**json.loads(path.read_text(encoding="utf-8")))
    return result if result.config == to_json(config) else None


def write(path: Path, result: Result) -> None:
    """Keep a result, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial_path = path.with_suffix(".partial")
    partial_path.write_text(json.dumps(asdict(result), indent=1), encoding="utf-8")
    partial_path.replace(path)


def table(results: Sequence[Result]) -> str:
    """Mean and deviation of each variant, and the difference to the default, in Markdown."""
    measured = [each for each in results if each.refused is None]
    metrics = list(measured[0].figures)
    lines = ["| variant | seeds | " + " | ".join(metrics) + " |", "|---" * (2 + len(metrics)) + "|"]
    base = {each.seed: each for each in measured if each.variant == DEFAULT}
    for variant in dict.fromkeys(each.variant for each in measured):
        own = [each for each in measured if each.variant == variant]
        cells = [cell(own, base, metric) for metric in metrics]
        same = bool(base) and all(
            each.seed in base and each.vectors == base[each.seed].vectors for each in own
        )
        mark = " (without effect)" if same and variant != DEFAULT else ""
        lines.append(f"| {variant}{mark} | {len(own)} | {' | '.join(cells)} |")
    reasons = {each.variant: each.refused for each in results if each.refused is not None}
    refused = [f"refused: {variant}: {reason}" for variant, reason in reasons.items()]
    return "\n".join([*lines, "", *refused, *notes(measured)])


def cell(own: Sequence[Result], base: Mapping[int, Result], metric: str) -> str:
    """Mean and deviation over seeds; in brackets the mean difference, seed by seed, to the default.

    One seed has no deviation.
    """
    values = [each.figures[metric] for each in own]
    differences = [
        each.figures[metric] - base[each.seed].figures[metric] for each in own if each.seed in base
    ]
    text = with_deviation(values, "{:.3f}")
    if not differences or own[0].variant == DEFAULT:
        return text
    return f"{text} ({with_deviation(differences, '{:+.3f}')})"


def with_deviation(values: Sequence[float], form: str) -> str:
    """Mean, and deviation where there are several values."""
    mean = form.format(statistics.fmean(values))
    return f"{mean} ± {statistics.stdev(values):.3f}" if len(values) > 1 else mean


def notes(measured: Sequence[Result]) -> Iterator[str]:
    """What a reader has to know: seconds, commits, machine."""
    seconds = statistics.median(each.seconds for each in measured)
    commits = ", ".join(sorted({each.commit for each in measured}))
    yield f"{len(measured)} runs, {seconds:.0f} s each (median); measured at commit {commits}"
    yield machine()
