"""Run the benchmarks and print one table: `python -m benchmarks [NAME…] [--quick]`.

Those that need a server start one of their own; where that cannot be had they are left out with a
line, and the exit status is 1. `python -m benchmarks unchanged COMMIT` measures nothing: it says
whether this working tree computes what COMMIT computes.
"""

import argparse
import importlib
import os
import sys

from rich.console import Console
from rich.table import Table

from benchmarks.machine import machine
from benchmarks.measure import Row
from tests.servers import ServerMissing

BENCHMARKS = {
    "ingest": "stream.from_file",
    "sampling": "graph.sampling",
    "features": "online.features",
    "training": "network.steps",
    "generations": "generations.subjects",
    "resume": "runs.resume",
    "scale": "network.scale",
    "gpu": "network.gpu",
    "serving": "online.lookups",
    "redis": "online.redis_store",
    "streaming": "stream.from_kafka",
    "posts": "stream.posts",
    "workers": "stream.workers",
    "outage": "stream.outage",
    "freshness": "stream.freshness",
}
LONG = {"options": "runs.options"}
"""Hours each: measured only when they are named."""


def main() -> int:
    """Run those asked for, all by default, and print the table as Markdown-free text."""
    if sys.argv[1:2] == ["unchanged"]:
        return int(importlib.import_module("benchmarks.unchanged.command").main(sys.argv[2:]))
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *BENCHMARKS, *LONG], metavar="NAME")
    parser.add_argument(
        "--quick", action="store_true", help="small inputs, to see that all runs: no figures"
    )
    arguments = parser.parse_args()
    progress = Console(stderr=True)
    rows: list[Row] = []
    missing = 0
    for name in arguments.names or BENCHMARKS:
        progress.print(f"running {name} …")
        module = importlib.import_module(f"benchmarks.{(BENCHMARKS | LONG)[name]}")
        try:
            rows += module.run(**getattr(module, "QUICK", {}) if arguments.quick else {})
        except ServerMissing as error:
            progress.print(f"{name} left out: {error}", markup=False)
            missing += 1
    if rows:
        console = Console(width=None if os.isatty(1) else 170)
        console.print(table(rows))
        console.print(machine())
    return 1 if missing else 0


def table(rows: list[Row]) -> Table:
    """One line a row: medians, ratio ours to rival."""
    result = Table(title="Medians; ratio = ours / rival, turn by turn")
    for heading in (
        "measured",
        "unit",
        "better",
        "ours",
        "rival",
        "ratio",
        "bar",
        "against",
        "rounds",
    ):
        result.add_column(
            heading, justify="right" if heading in {"ours", "rival", "ratio"} else "left"
        )
    for row in rows:
        result.add_row(
            row.name,
            row.unit,
            row.better,
            number(row.ours),
            number(row.rival),
            "" if row.ratio is None else f"{row.ratio:.2f}",
            bar(row),
            row.rival_name,
            str(row.rounds),
        )
    return result


def bar(row: Row) -> str:
    """What was to be reached, and whether it was missed."""
    if row.bar is None:
        return ""
    sign = "≥" if row.better == "higher" else "≤"
    return f"{sign} {row.bar:g}{' MISSED' if row.is_below_bar else ''}"


def number(value: float | None) -> str:
    """Whole numbers with separators, small ones with three digits."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    sys.exit(main())
