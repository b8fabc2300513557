"""Curves as TensorBoard event files."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.engine.tracking.tracker import Line, curves


class TensorBoard:
    """Writes all steps of the log, from its start; files of earlier attempts are replaced."""

    name = "TensorBoard"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._writer: Any = None

    def open(self) -> None:
        """Delete earlier files: a kill may have truncated their last step."""
        from tensorboardX import SummaryWriter

        shutil.rmtree(self.folder, ignore_errors=True)
        self._writer = SummaryWriter(str(self.folder))

    def write(self, lines: Sequence[Line]) -> None:
        """Append the points of these steps."""
        for line in lines:
            for name, value in curves(line).items():
                self._writer.add_scalar(name, value, line["step"])
        self._writer.flush()

    def close(self, *, completed: bool) -> None:
        """Close the file."""
        del completed
        self._writer.close()
