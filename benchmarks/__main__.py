"""Run the benchmarks and print one table: `python -m benchmarks [NAME…]`."""

import argparse
import importlib
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.measure import Row

BENCHMARKS = ("ingest", "sampling", "features", "training", "serving")


def main() -> None:
    """Run those asked for, all by default, and print the table as Markdown-free text."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *BENCHMARKS], metavar="NAME")
    names = parser.parse_args().names or BENCHMARKS
    progress = Console(stderr=True)
    rows: list[Row] = []
    for name in names:
        progress.print(f"running {name} …")
        rows += importlib.import_module(f"benchmarks.{name}").run()
    console = Console(width=None if os.isatty(1) else 150)
    console.print(table(rows))
    console.print(machine())


def table(rows: list[Row]) -> Table:
    """One line a row: medians, ratio ours to rival."""
    result = Table(title="Medians; ratio = ours / rival, turn by turn")
    for heading in ("measured", "unit", "better", "ours", "rival", "ratio", "against", "rounds"):
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
            row.rival_name,
            str(row.rounds),
        )
    return result


def number(value: float | None) -> str:
    """Whole numbers with separators, small ones with three digits."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def machine() -> str:
    """What the figures were measured on, and with which code."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    ).stdout.strip()
    return (
        f"{datetime.now(UTC):%Y-%m-%d} · commit {commit or 'unknown'} · {cpu_model()} · "
        f"{len(os.sched_getaffinity(0))} cores · Python {platform.python_version()}"
    )


def cpu_model() -> str:
    """The processor's name as Linux tells it."""
    with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    main()
