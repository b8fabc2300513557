"""The log of a seed's steps: one JSON object a line, in order, each step once.

    step, phase, NAME of each loss, total        always
    gradient_norms, learning_rates, seconds, waited_seconds, staleness     as `StepRecord` has them
    held_out                                     at the first step, and where a step asks for it

Groups of steps are appended and flushed before their checkpoint is written, so the log always
reaches the checkpoint. Lines of an interrupted attempt beyond the checkpoint are cut off when the
first of these steps has been repeated.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from foundation.durable_files import flush, write_text
from training.errors import NotFinite

TAIL_BYTES = 1 << 16
NOT_LOSSES = frozenset(
    {
        "step",
        "phase",
        "gradient_norms",
        "learning_rates",
        "seconds",
        "waited_seconds",
        "staleness",
        "held_out",
    }
)


def append_losses(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Append a group of steps; cut off lines of an earlier attempt from its first step on."""
    if not records:
        return
    first = records[0]["step"]
    lines = [json.dumps(record, sort_keys=True) for record in records]
    if continues(path, first):
        with path.open("a", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
            flush(file)
        return
    kept = [json.dumps(line, sort_keys=True) for line in read_losses(path) if line["step"] < first]
    write_text(path, "\n".join([*kept, *lines]) + "\n")


def continues(path: Path, first: int) -> bool:
    """Whether the log ends with a complete line of an earlier step."""
    if not path.exists():
        return False
    with path.open("rb") as file:
        file.seek(-min(TAIL_BYTES, path.stat().st_size), os.SEEK_END)
        tail = file.read()
    last = whole(tail.splitlines(keepends=True)[-1]) if tail else None
    return last is not None and last["step"] < first


def whole(line: bytes) -> dict[str, Any] | None:
    """The step of a line; None if the line is incomplete or was lost in a power failure."""
    try:
        step: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    return step if line.endswith(b"\n") else None


def read_losses(path: Path) -> Iterator[dict[str, Any]]:
    """The logged steps, in order; none where there is no file yet."""
    return LossTail(path).new()


def losses_of(line: Mapping[str, Any]) -> dict[str, float]:
    """The losses of a logged step, by name."""
    return {name: value for name, value in line.items() if name not in NOT_LOSSES}


class LossTail:
    """Follows a growing log and reads each line once; a rewritten log is read from the start."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file, self._offset = 0, 0

    def new(self) -> Iterator[dict[str, Any]]:
        """Steps since the last call; an incomplete line is left for the next call."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            now = os.fstat(file.fileno())
            if now.st_ino != self._file or now.st_size < self._offset:
                self._file, self._offset = now.st_ino, 0
            file.seek(self._offset)
            for line in file:
                step = whole(line)
                if step is None:
                    return
                self._offset += len(line)
                yield step


def check_finite(losses: Mapping[str, float], step: int) -> None:
    """Raises NotFinite at the first loss that is NaN or infinite."""
    for name, value in losses.items():
        if not np.isfinite(value):
            raise NotFinite(
                f"loss {name} of step {step} is {value}; lower the learning rates of the recipe"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """Losses, gradient norms and waiting time of a step; tensors are scalars on the device.

    `losses` has every term, unweighted, and the weighted `total`. `gradient_norms` has the norm of
    the whole gradient before clipping, `total`, and every `num_steps_per_gradient_norm` steps the
    norm of each weighted term. `learning_rates` are by part, and `pretrained`. `staleness` is the
    mean age, in steps, of the bank's vectors that a graph batch reads. `waited_seconds` is the time
    that the step waited for its batch. `graph_versions` are the first and last version of a live
    graph that batches have read. `is_checkpoint_due` requests a checkpoint after the step;
    `is_held_out_due`, only together with it, requests the losses on held-out data, which are also
    measured before the first step. `findings` are those of `training.mmga.collapse`, if checked.
    """

    number: int
    phase: str
    losses: dict[str, Tensor]
    gradient_norms: dict[str, Tensor]
    learning_rates: dict[str, float]
    staleness: Tensor | None = None
    waited_seconds: float = 0.0
    graph_versions: tuple[int, int] | None = None
    is_checkpoint_due: bool = False
    is_held_out_due: bool = False
    findings: tuple[str, ...] | None = None
