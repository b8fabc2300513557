"""Publishing that dies by SIGKILL at the n-th border of a step."""

import os
import signal
from pathlib import Path

from featurestore.feast_adapter.registry import FeatureRegistry
from featurestore.generations.generation import Generations
from featurestore.generations.indexes import BaseIndexes
from featurestore.generations.verdicts import VerdictLog
from featurestore.history import History
from featurestore.online.sqlite_store import SqliteStore

STEPS = (
    *((Generations, name) for name in ("begin", "seal", "begin_drop", "end_drop")),
    *((BaseIndexes, name) for name in ("put", "drop")),
    *((History, name) for name in ("append", "drop")),
    *((FeatureRegistry, f"{name}_generation") for name in ("apply", "drop")),
    (FeatureRegistry, "activate_service"),
    (VerdictLog, "append"),
    *((SqliteStore, name) for name in ("write", "delete", "drop_view", "change_pointer")),
    *((SqliteStore, f"{name}_watermark") for name in ("set", "drop")),
)
RENAMES = ((Path, "rename"), (Path, "replace"))


def killed_at(moment, work, steps=(*STEPS, *RENAMES)):
    """Run `work` in a child that dies before or after one of the steps; whether it did."""
    child = os.fork()
    if child == 0:
        borders = iter(range(1, 10_000))

        def border():
            if next(borders) == moment:
                os.kill(os.getpid(), signal.SIGKILL)

        def bordered(real):
            def call(*arguments, **options):
                border()
                result = real(*arguments, **options)
                border()
                return result

            return call

        for owner, name in steps:
            setattr(owner, name, bordered(getattr(owner, name)))
        try:
            work()
        finally:
            os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert status in (0, signal.SIGKILL)
    return status == signal.SIGKILL
