"""Two outcomes, name by name: what is missing, what differs, and by how much."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

import numpy as np

from benchmarks.unchanged import renamed
from benchmarks.unchanged.reading import Values

NUM_SHOWN = 10
MASK = "masked"
NO_ARRAYS = Path("/nonexistent")

Table = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Tables of what was renamed."""

    files: Table = renamed.FILES
    keys: Table = renamed.KEYS
    parameters: Table = renamed.PARAMETERS

    def new(self, name: str) -> str:
        """What a name is called now."""
        path, colon, key = name.partition(":")
        tables = self.parameters if path.endswith(".safetensors") else self.keys
        return f"{replaced(path, self.files)}{colon}{replaced(key, tables)}"

    def comparable(self, values: Values) -> Values:
        """Values by the names of now, without what may differ.

        Raises ValueError where two would have the same name.
        """
        found = {self.new(name): text for name, text in values.items()}
        if len(found) < len(values):
            raise ValueError("a table of renamed names gives two values the same name")
        return {
            name: MASK if matches(name, renamed.MASKED) else text
            for name, text in found.items()
            if not matches(name.partition(":")[0], renamed.LEFT_OUT)
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One group: how many values were compared, and by name how those differ that do."""

    group: str
    num_values: int
    differences: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        if not self.differences:
            return f"same: {self.num_values:,} values of {self.group}"
        lines = [f"DIFFERENT: {len(self.differences):,} of {self.num_values:,} of {self.group}"]
        lines += [f"  {name}: {how}" for name, how in self.differences.items()][:NUM_SHOWN]
        if len(self.differences) > NUM_SHOWN:
            files = Counter(name.partition(":")[0] for name in self.differences)
            lines += [f"  all of them, by file: {told(files)}"]
        return "\n".join(lines)


def compare(
    group: str,
    old: Values,
    new: Values,
    *,
    names: Names | None = None,
    arrays: tuple[Path, Path] = (NO_ARRAYS, NO_ARRAYS),
) -> Comparison:
    """One group of both sides; `arrays` are the folders where each has kept its own."""
    names = names or Names()
    old, new = names.comparable(old), names.comparable(new)
    together = [*old, *(name for name in new if name not in old)]
    found = {
        name: difference(old.get(name), new.get(name), arrays)
        for name in together
        if old.get(name) != new.get(name)
    }
    return Comparison(group=group, num_values=len(together), differences=found)


def difference(old: str | None, new: str | None, arrays: tuple[Path, Path]) -> str:
    """How two texts differ: the largest absolute difference where both are figures or arrays."""
    if old is None or new is None:
        return "only there" if new is None else "only here"
    amount = figures_apart(old, new)
    if amount is None:
        amount = arrays_apart(old, new, arrays)
    told = "" if amount is None else f" (by at most {amount:.3g})"
    return f"{shortened(old)} -> {shortened(new)}{told}"


def figures_apart(old: str, new: str) -> float | None:
    """How far two numbers are apart; None where one is none."""
    try:
        return abs(float(old) - float(new))
    except ValueError:
        return None


def arrays_apart(old: str, new: str, arrays: tuple[Path, Path]) -> float | None:
    """How far the elements of two kept arrays are apart at most; None where none can be told."""
    pair = [
        np.load(path, allow_pickle=False)
        for folder, text in zip(arrays, (old, new), strict=True)
        if re.fullmatch(r"[0-9a-f]{32}", digest := text.rpartition(" ")[2])
        and (path := folder / f"{digest}.npy").exists()
    ]
    if len(pair) < 2 or pair[0].shape != pair[1].shape or pair[0].dtype.kind not in "biuf":
        return None
    apart = np.abs(pair[0].astype(np.float64) - pair[1].astype(np.float64))
    return float(apart.max(initial=0.0))


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a name is one of these."""
    return any(fnmatch(name, pattern) for pattern in patterns)


def replaced(name: str, table: Table) -> str:
    """A name after all replacements of a table."""
    for pattern, replacement in table:
        name = re.sub(pattern, replacement, name)
    return name


def told(files: Mapping[str, int]) -> str:
    """How many values differ in each file."""
    return ", ".join(f"{name} {number:,}" for name, number in files.items())


def shortened(text: str) -> str:
    """The beginning of a long text."""
    return text if len(text) <= 60 else f"{text[:59]}…"
